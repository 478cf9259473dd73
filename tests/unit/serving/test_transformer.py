"""A version with its own feature code: the copy in its folder is what runs, in engine and server, and what it made is logged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from include.lifecycle.errors import ArtefactDigestError
from include.serving.engines import TransformedEngine, load_engine
from include.serving.transformer import TRANSFORMER_FILE
from include.serving.version_folder import (
    SERVING,
    InputColumn,
    ServingSpec,
    VersionFolderInvalidError,
    read_spec,
    verify,
    write_manifest,
)
from tests.unit.serving.folders import build_folder, fitted, serving_spec, training_table
from tests.unit.serving.running import eventually, running_server

SOURCE = """\
from __future__ import annotations
from dataclasses import dataclass


@dataclass
class Miles:
    factor: float = 1.609344


def transform(rows):
    rows["distance"] = rows["miles"] * Miles().factor
    rows["carrier"] = rows["code"].str.slice(0, 2)
    return rows
"""
INPUTS = (InputColumn("miles", "numeric"), InputColumn("wind_speed", "numeric"), InputColumn("code", "categorical"))


def transformed(spec: ServingSpec) -> ServingSpec:
    return replace(spec, inputs=INPUTS, transformer="transform", features=spec.inputs)


def build(folder: Path, engine: str = "onnx", source: str = SOURCE) -> str:
    build_folder(folder, engine)
    (folder / TRANSFORMER_FILE).write_text(source)
    (folder / SERVING).write_text(transformed(serving_spec(engine)).to_json())
    return write_manifest(folder)


def request() -> dict[str, list[object]]:
    return {"miles": [500.0, None, 900.0], "wind_speed": [3.0, 4.0, None], "code": ["AA17", None, "  "]}


@pytest.mark.parametrize("engine", ["onnx", "sklearn"])
def test_predictions_are_the_models_on_the_features(tmp_path: Path, engine: str):
    build(tmp_path / "3", engine)
    loaded = load_engine(tmp_path / "3", read_spec(tmp_path / "3"))
    assert isinstance(loaded, TransformedEngine)
    features = loaded.features(request(), 3)
    assert features["carrier"] == ["AA", None, None]
    assert features["distance"][0] == 500.0 * 1.609344
    table = (
        training_table()[0]
        .head(3)
        .assign(
            distance=[500 * 1.609344, np.nan, 900 * 1.609344], wind_speed=[3.0, 4.0, np.nan], carrier=["AA", "missing", "missing"]
        )
    )
    expected = fitted(engine).predict_proba(table)[:, 1]
    np.testing.assert_allclose(loaded.predict(request(), 3), expected, atol=1e-5)


def test_the_spec_comes_back(tmp_path: Path):
    spec = transformed(serving_spec())
    assert ServingSpec.from_json(spec.to_json()) == spec
    assert spec.model_columns == serving_spec().inputs


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def transform(rows:\n", "does not load: SyntaxError"),
        ("def other(rows): return rows\n", "has no function 'transform'"),
        ("def transform(rows): return rows\n", "leaves out distance, carrier"),
        ("def transform(rows): raise ValueError('no nulls please')\n", "failed: ValueError: no nulls please"),
    ],
)
def test_a_transformer_that_cannot_answer_a_row_of_nulls_is_not_served(tmp_path: Path, source: str, told: str):
    build(tmp_path / "3", source=source)
    with pytest.raises(VersionFolderInvalidError, match=told):
        load_engine(tmp_path / "3", read_spec(tmp_path / "3"))


def test_a_changed_copy_is_refused_and_loading_leaves_nothing_behind(tmp_path: Path):
    digest = build(tmp_path / "3")
    load_engine(tmp_path / "3", read_spec(tmp_path / "3"))
    verify(tmp_path / "3", digest)  # no byte code was written beside the source
    (tmp_path / "3" / TRANSFORMER_FILE).write_text(SOURCE.replace("1.609344", "1.6"))
    with pytest.raises(ArtefactDigestError, match=r"transformer\.py has sha256"):
        verify(tmp_path / "3", digest)


def test_a_real_server_takes_inputs_and_logs_features(tmp_path: Path):
    digest = build(tmp_path / "3")
    with running_server(tmp_path / "3", digest, tmp_path / "log") as server:
        names = [item["name"] for item in server.client.get("/v2/models/flights").json()["inputs"]]
        assert names == ["miles", "wind_speed", "code"]
        inputs = [
            {"name": name, "shape": [3], "datatype": "BYTES" if name == "code" else "FP64", "data": values}
            for name, values in request().items()
        ]
        answer = server.client.post("/v2/models/flights/infer", json={"inputs": inputs})
        assert answer.status_code == 200
        segments = tmp_path / "log" / "segments"
        assert eventually(lambda: segments.is_dir() and any(path.stat().st_size for path in segments.glob("*")))
    expected = load_engine(tmp_path / "3", read_spec(tmp_path / "3")).predict(request(), 3)
    np.testing.assert_allclose(answer.json()["outputs"][0]["data"], expected)
    lines = [json.loads(text) for path in segments.glob("*") for text in path.read_text().splitlines()]
    assert lines[0]["features"] == {
        "miles": 500.0,
        "wind_speed": 3.0,
        "code": "AA17",
        "distance": pytest.approx(804.672),
        "carrier": "AA",
    }
    assert lines[1]["features"]["distance"] is None
