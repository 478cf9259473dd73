"""Builds real version folders for the serving tests: a small fitted pipeline as ONNX or by skops, with golden answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from include.serving.version_folder import GOLDEN, MODEL_FILES, SERVING, InputColumn, ServingSpec, write_manifest

NUMERIC, CATEGORICAL = ["distance", "wind_speed"], ["carrier"]
CARRIERS = ("AA", "UA", "missing")


def training_table(rows: int = 600) -> tuple[pd.DataFrame, np.ndarray]:
    """A table whose target depends on distance and carrier."""
    random = np.random.default_rng(7)
    table = pd.DataFrame(
        {
            "distance": random.normal(1000, 300, rows),
            "wind_speed": random.normal(10, 4, rows),
            "carrier": random.choice(np.array(CARRIERS, dtype=object), rows),
        }
    )
    table["carrier"] = table["carrier"].astype(object)
    score = (table["distance"] - 1000) / 300 + (table["carrier"] == "AA") + random.normal(0, 1, rows)
    return table, (score > 0.5).astype(int).to_numpy()


def fitted(engine: str) -> Pipeline:
    """A fitted pipeline: logistic regression for ONNX, histogram gradient boosting for skops."""
    encoder = (
        OneHotEncoder(handle_unknown="ignore")
        if engine == "onnx"
        else OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    )
    numeric = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    model = LogisticRegression() if engine == "onnx" else HistGradientBoostingClassifier(max_iter=10)
    return Pipeline(
        [("columns", ColumnTransformer([("numeric", numeric, NUMERIC), ("categorical", encoder, CATEGORICAL)])), ("model", model)]
    ).fit(*training_table())


def serving_spec(engine: str = "onnx", version: int = 3) -> ServingSpec:
    """The spec of the test model `flights`."""
    inputs = [*(InputColumn(name, "numeric") for name in NUMERIC), InputColumn("carrier", "categorical", known=CARRIERS)]
    task = "binary_classification"
    return ServingSpec("flights", version, task, engine, "flight_id", "scheduled_departure", "late", (0, 1), tuple(inputs))


def write_model(folder: Path, engine: str, pipeline: Pipeline) -> None:
    """Export the pipeline the way registration does."""
    path = folder / MODEL_FILES[engine]
    if engine == "sklearn":
        skops.io.dump(pipeline, path)
        return
    types = [(name, FloatTensorType([None, 1])) for name in NUMERIC] + [
        (name, StringTensorType([None, 1])) for name in CATEGORICAL
    ]
    exported = to_onnx(pipeline, initial_types=types, options={id(pipeline): {"zipmap": False}}, target_opset=17)
    path.write_bytes(exported.SerializeToString())


def build_folder(folder: Path, engine: str = "onnx", version: int = 3) -> str:
    """Write a whole version folder and return its manifest's digest."""
    folder.mkdir(parents=True)
    pipeline = fitted(engine)
    write_model(folder, engine, pipeline)
    (folder / SERVING).write_text(serving_spec(engine, version).to_json())
    rows = training_table()[0].head(5)
    golden = {
        "inputs": request_body({name: rows[name].tolist() for name in rows}),
        "predictions": pipeline.predict_proba(rows)[:, 1].tolist(),
        "tolerance": 1e-5,
    }
    (folder / GOLDEN).write_text(json.dumps(golden))
    return write_manifest(folder)


def request_body(columns: dict[str, list[Any]], **extra: Any) -> dict[str, Any]:
    """An Open Inference Protocol request: one tensor per column; columns that are no numbers of the model are BYTES."""
    inputs = [
        {"name": name, "shape": [len(values)], "datatype": "FP64" if name in NUMERIC else "BYTES", "data": values}
        for name, values in columns.items()
    ]
    return {"inputs": inputs, **extra}


def one_row(**changes: Any) -> dict[str, list[Any]]:
    """One good row as columns, with changes."""
    return {name: [value] for name, value in {"distance": 1400.0, "wind_speed": 8.5, "carrier": "AA", **changes}.items()}
