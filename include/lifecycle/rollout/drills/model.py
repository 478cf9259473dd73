"""The drill's scratch model: a tiny logistic regression as ONNX in a version folder as any model server takes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from include.serving.version_folder import GOLDEN, MODEL_FILES, SERVING, InputColumn, ServingSpec, write_manifest

COLUMNS = ("first", "second")
_ROWS = 200


def request_of(values: Sequence[float]) -> dict[str, Any]:
    """One row as an Open Inference Protocol request."""
    tensors = [
        {"name": name, "shape": [1], "datatype": "FP64", "data": [value]} for name, value in zip(COLUMNS, values, strict=True)
    ]
    return {"inputs": tensors}


def write_drill_version(folder: Path, model: str, version: int) -> str:
    """Write the whole version folder and return its manifest's digest."""
    import pandas as pd
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline

    random = np.random.default_rng(version)
    rows = pd.DataFrame(random.normal(size=(_ROWS, len(COLUMNS))), columns=list(COLUMNS))
    columns = ColumnTransformer([("numeric", "passthrough", list(COLUMNS))])
    pipeline = Pipeline([("columns", columns), ("model", LogisticRegression())])
    pipeline.fit(rows, (rows.sum(axis=1) > 0).astype(int))
    types = [(name, FloatTensorType([None, 1])) for name in COLUMNS]
    exported = to_onnx(pipeline, initial_types=types, options={id(pipeline): {"zipmap": False}}, target_opset=17)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL_FILES["onnx"]).write_bytes(exported.SerializeToString())
    inputs = tuple(InputColumn(name, "numeric") for name in COLUMNS)
    spec = ServingSpec(model, version, "binary_classification", "onnx", "key", "at", "outcome", (0, 1), inputs)
    (folder / SERVING).write_text(spec.to_json(), encoding="utf-8")
    first = rows.head(1)
    golden = {
        "inputs": request_of(tuple(first.to_numpy(dtype=np.float64)[0])),
        "predictions": pipeline.predict_proba(first)[:, 1].tolist(),
        "tolerance": 1e-5,
    }
    (folder / GOLDEN).write_text(json.dumps(golden), encoding="utf-8")
    return write_manifest(folder)
