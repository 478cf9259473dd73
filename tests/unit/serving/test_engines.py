from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer

from include.serving.engines import load_engine
from include.serving.version_folder import InputColumn, VersionFolderInvalidError, read_spec
from tests.unit.serving.folders import one_row, serving_spec


def golden_of(folder: Path) -> tuple[dict[str, list[Any]], list[float]]:
    golden = json.loads((folder / "golden.json").read_text())
    return {tensor["name"]: tensor["data"] for tensor in golden["inputs"]["inputs"]}, golden["predictions"]


@pytest.mark.parametrize("engine", ["onnx", "sklearn"])
def test_golden_answers_are_met(engine: str, request: pytest.FixtureRequest) -> None:
    folder, _ = request.getfixturevalue(f"{engine}_folder")
    columns, expected = golden_of(folder)
    predictions = load_engine(folder, read_spec(folder)).predict(columns, len(expected))
    assert predictions.dtype == np.float64
    np.testing.assert_allclose(predictions, expected, atol=1e-5)


@pytest.mark.parametrize("engine", ["onnx", "sklearn"])
def test_nulls_and_unknown_categories_are_answered(engine: str, request: pytest.FixtureRequest) -> None:
    folder, _ = request.getfixturevalue(f"{engine}_folder")
    loaded = load_engine(folder, read_spec(folder))
    null, missing, unknown = (
        loaded.predict(one_row(**changes), 1)[0]
        for changes in ({"distance": None, "carrier": None}, {"distance": None, "carrier": "missing"}, {"carrier": "ZZ"})
    )
    assert null == missing
    assert 0 < unknown < 1


def test_a_model_with_other_inputs_is_refused(onnx_folder: tuple[Path, str]) -> None:
    spec = serving_spec()
    renamed = replace(spec, inputs=(InputColumn("length", "numeric"), *spec.inputs[1:]))
    with pytest.raises(VersionFolderInvalidError, match=r"model input 'distance' is no column of serving\.json"):
        load_engine(onnx_folder[0], renamed)
    retyped = replace(spec, inputs=(InputColumn("distance", "categorical"), *spec.inputs[1:]))
    with pytest.raises(VersionFolderInvalidError, match=r"'distance' is tensor\(float\); expected tensor\(string\)"):
        load_engine(onnx_folder[0], retyped)


def test_a_task_that_is_not_served_is_refused(onnx_folder: tuple[Path, str]) -> None:
    with pytest.raises(VersionFolderInvalidError, match="task clustering is not served"):
        load_engine(onnx_folder[0], replace(serving_spec(), task="clustering"))


@pytest.mark.parametrize("engine", ["onnx", "sklearn"])
def test_a_model_of_other_classes_is_refused(engine: str, request: pytest.FixtureRequest) -> None:
    folder, _ = request.getfixturevalue(f"{engine}_folder")
    spec = replace(serving_spec(engine), task="multiclass_classification", classes=("early", "late", "on time"))
    with pytest.raises(VersionFolderInvalidError, match=r"shape \(1, 2\); task multiclass_classification needs \(1, 3\)"):
        load_engine(folder, spec)


def test_no_model_file(tmp_path: Path) -> None:
    with pytest.raises(VersionFolderInvalidError, match=r"model\.onnx is missing"):
        load_engine(tmp_path, serving_spec())


@pytest.mark.parametrize(("engine", "name"), [("onnx", "model.onnx"), ("sklearn", "model.skops")])
def test_a_file_that_is_no_model(engine: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"no model")
    with pytest.raises(VersionFolderInvalidError, match=f"{name} does not load"):
        load_engine(tmp_path, serving_spec(engine))


def test_a_pickle_is_not_loaded(tmp_path: Path) -> None:
    joblib.dump({"a": 1}, tmp_path / "model.skops")
    with pytest.raises(VersionFolderInvalidError, match="does not load"):
        load_engine(tmp_path, serving_spec("sklearn"))


def a_function_of_our_own(table: Any) -> Any:
    return table


def test_a_type_that_is_not_trusted_is_named(tmp_path: Path) -> None:
    skops.io.dump(FunctionTransformer(a_function_of_our_own), tmp_path / "model.skops")
    with pytest.raises(VersionFolderInvalidError, match="a_function_of_our_own"):
        load_engine(tmp_path, serving_spec("sklearn"))
