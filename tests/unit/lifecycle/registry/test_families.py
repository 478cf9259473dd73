"""Every family on every task: repeatable, stored by trusted types only, and the same by ONNX Runtime."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.registry.onnx_export import TOLERANCE, difference_of, export_onnx, run_onnx
from include.lifecycle.registry.scoring import describe, fitted_scores, score
from include.lifecycle.training.pipelines import build_pipeline, feature_table, labels_of, predictions_of
from include.serving.engines import load_engine
from include.serving.trusted_types import load_trusted
from tests.unit.lifecycle.registry.family_cases import CASES, PARAMS, spec_of, trips

MISSING_FLOATS = st.one_of(st.none(), st.floats(-1e6, 1e6, width=32))
HOURS = st.sampled_from(["0", "17", "18", "99", "", None])
CARRIERS = st.sampled_from([*(f"C{number}" for number in range(20)), "ZZ", "ß", None])


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """As training runs; native threads that wait for each other would cost seconds per small call."""
    with threadpool_limits(1):
        yield


@functools.cache
def fitted(task: str, family: str) -> Any:
    spec, rows = spec_of(task), trips(task, 2500)
    return build_pipeline(spec, family, PARAMS[family]).fit(feature_table(spec.features, rows), labels_of(spec, rows))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Path of a case's ONNX file, made once."""
    folder = tmp_path_factory.mktemp("onnx")

    @functools.cache
    def make(task: str, family: str) -> Path:
        spec, later = spec_of(task), trips(task, 2000, seed=1)
        table = feature_table(spec.features, later)
        path = folder / f"{task}-{family}.onnx"
        pipeline = fitted(task, family)
        export = export_onnx(pipeline, spec.features, table, predictions_of(spec, pipeline, table), path)
        assert export.engine == "onnx", export.reason
        assert export.difference is not None
        assert export.difference < 1e-5 < TOLERANCE
        return path

    return make


@pytest.mark.parametrize(("task", "family"), CASES)
def test_unseen_categories_and_nulls_give_the_same_by_onnx(task: str, family: str, exported: Any) -> None:
    spec, later = spec_of(task), trips(task, 2000, seed=2)
    later.loc[::7, "carrier"] = "unseen"
    later.loc[::11, "distance"] = np.nan
    table = feature_table(spec.features, later)
    expected = fitted_scores(fitted(task, family), spec.features, later)
    found = run_onnx(exported(task, family), table, spec.features)
    assert difference_of(fitted(task, family), found, expected) < 1e-5


@pytest.mark.parametrize(("task", "family"), CASES)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(MISSING_FLOATS, MISSING_FLOATS, CARRIERS, HOURS), min_size=1, max_size=20))
def test_any_row_gives_the_same_by_onnx(task: str, family: str, rows: list[Any], exported: Any) -> None:
    spec = spec_of(task)
    frame = pd.DataFrame(rows, columns=["distance", "wind", "carrier", "hour"])
    frame[["distance", "wind"]] = frame[["distance", "wind"]].astype(float)
    table = feature_table(spec.features, frame)
    expected = predictions_of(spec, fitted(task, family), table)
    found = run_onnx(exported(task, family), table, spec.features)
    # far outside the training range a linear model's values are large, and so is what float32 rounds away
    assert np.allclose(found, expected, rtol=1e-4, atol=TOLERANCE)


@pytest.mark.parametrize(("task", "family"), CASES)
def test_the_same_rows_give_the_same_model(task: str, family: str) -> None:
    spec, rows = spec_of(task), trips(task, 800)
    table, labels = feature_table(spec.features, rows), labels_of(spec, rows)
    first, second = (
        predictions_of(spec, build_pipeline(spec, family, PARAMS[family]).fit(table, labels), table) for _ in range(2)
    )
    assert np.array_equal(first, second)


@pytest.mark.parametrize(("task", "family"), CASES)
def test_both_engines_serve_it(task: str, family: str, exported: Any, tmp_path: Path) -> None:
    spec, rows = spec_of(task), trips(task, 40, seed=5)
    skops.io.dump(fitted(task, family), tmp_path / "model.skops")
    stored = fitted_scores(load_trusted(tmp_path / "model.skops"), spec.features, rows)
    assert np.array_equal(stored, fitted_scores(fitted(task, family), spec.features, rows))
    (tmp_path / "model.onnx").write_bytes(exported(task, family).read_bytes())
    for engine in ("onnx", "sklearn"):
        serving = describe(spec, version=1, engine=engine)  # type: ignore[arg-type]
        found = score(load_engine(tmp_path, serving), serving, rows)
        assert found.shape == stored.shape
        assert difference_of(fitted(task, family), found, stored) < 1e-5


def test_a_class_that_a_fold_never_saw_has_probability_zero() -> None:
    spec, rows = spec_of("multiclass_classification"), trips("multiclass_classification", 600)
    some = rows[rows["late"] != "late"]
    pipeline = build_pipeline(spec, "lightgbm", PARAMS["lightgbm"]).fit(feature_table(spec.features, some), labels_of(spec, some))
    found = predictions_of(spec, pipeline, feature_table(spec.features, rows))
    assert found.shape == (600, 3)
    assert (found[:, 1] == 0).all()
    assert np.allclose(found.sum(axis=1), 1)


def test_a_family_that_cannot_learn_the_task_is_named() -> None:
    with pytest.raises(SpecInvalidError, match=r"'logistic_regression' cannot learn regression; allowed: hist_gradient_"):
        build_pipeline(spec_of("regression"), "logistic_regression", {})
    with pytest.raises(SpecInvalidError, match=r"'linear_regression' cannot learn binary_classification"):
        build_pipeline(spec_of("binary_classification"), "linear_regression", {})
