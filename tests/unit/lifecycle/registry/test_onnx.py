"""Conversion to ONNX: the own tree converter, parity of whole pipelines, and the recorded fallback."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline

from include.lifecycle.registry.onnx_export import TOLERANCE, export_onnx, run_onnx, spread_rows, to_onnx_bytes
from include.lifecycle.registry.onnx_trees import float32_thresholds, tree_attributes
from include.lifecycle.sections.data import InputsSection
from include.lifecycle.spec import FeaturesSection
from include.lifecycle.training.pipelines import build_pipeline, feature_table, labels_of
from tests.integration.registry_lab import PARAMS, START, flights, lab_spec

SPEC = lab_spec("onnx")
FLOATS = st.floats(-(2.0**100), 2.0**100, width=32)
FINITE = st.floats(-1e30, 1e30, allow_nan=False)


def features_of(*numeric: str) -> FeaturesSection:
    return FeaturesSection(
        numeric=list(numeric), categorical=[], store=[], transformer=None, inputs=InputsSection(numeric=[], categorical=[])
    )


@given(FLOATS, FLOATS)
def test_thresholds_between_float32_values_separate_them(first: float, second: float) -> None:
    """scikit-learn splits at the midpoint of two training values."""
    low, high = sorted((first, second))
    threshold = low / 2 + high / 2
    rounded = float32_thresholds(np.array([threshold]))[0]
    for value in (low, high):
        assert (np.float32(value) <= rounded) == (value <= threshold)


@given(FINITE)
def test_a_value_equal_to_its_threshold_stays_on_its_side(value: float) -> None:
    """With more than 255 distinct values thresholds can be values of the data, which float32 need not hold exactly."""
    nearest = float(np.float32(value))
    below, above = (float(np.nextafter(np.float32(value), np.float32(side))) for side in (-np.inf, np.inf))
    if value in {(nearest + below) / 2, (nearest + above) / 2}:
        return  # an exact half is a midpoint of neighbours and is kept below the upper one
    assert np.float32(value) <= float32_thresholds(np.array([value]))[0]


def test_infinite_thresholds_stay_infinite() -> None:
    assert float32_thresholds(np.array([np.inf]))[0] == np.inf


@pytest.mark.parametrize("classes", [np.array([0, 1]), np.array([False, True]), np.array(["no", "yes"])])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_boosted_trees_agree_on_float32_data(classes: np.ndarray, missing: float, tmp_path: Path) -> None:
    import pandas as pd

    random = np.random.default_rng(2)
    values = random.normal(size=(3000, 3)).astype(np.float32).astype(np.float64)
    labels = (values[:, 0] + np.abs(values[:, 1]) + random.normal(size=3000) > 0.8).astype(int)
    values[random.random(values.shape) < missing] = np.nan
    model = HistGradientBoostingClassifier(max_iter=50, random_state=1).fit(values, classes[labels])
    features = features_of("a", "b", "c")
    from sklearn.compose import ColumnTransformer

    passed = ColumnTransformer([("all", "passthrough", [0, 1, 2])]).fit(values)
    table = pd.DataFrame(values, columns=features.numeric)
    passed.feature_names_in_ = np.array(features.numeric, dtype=object)
    passed.transformers_ = [("all", passed.transformers_[0][1], features.numeric)]
    pipeline = Pipeline([("prepare", passed), ("model", model)])
    path = tmp_path / "model.onnx"
    path.write_bytes(to_onnx_bytes(pipeline, features))
    found = run_onnx(path, table, features)
    assert np.max(np.abs(found - model.predict_proba(values)[:, 1])) < 1e-6


@pytest.mark.parametrize("algorithm", list(PARAMS))
def test_whole_pipelines_agree_with_nulls_and_unseen_categories(algorithm: str, tmp_path: Path) -> None:
    train, later = flights(START, 30, 100, 1), flights(START, 20, 100, 2)
    later["carrier"] = later["carrier"].mask(later.index % 7 == 0, "ZZ")
    pipeline = build_pipeline(SPEC, algorithm, PARAMS[algorithm]).fit(feature_table(SPEC.features, train), labels_of(SPEC, train))
    table = feature_table(SPEC.features, later)
    export = export_onnx(pipeline, SPEC.features, table, pipeline.predict_proba(table)[:, 1], tmp_path / "model.onnx")
    assert export.engine == "onnx", export.reason
    assert export.difference is not None
    assert export.difference < 1e-5 < TOLERANCE


def test_a_difference_is_a_fallback_with_its_size(tmp_path: Path) -> None:
    train = flights(START, 10, 60, 1)
    table = feature_table(SPEC.features, train)
    pipeline = build_pipeline(SPEC, "logistic_regression", {}).fit(table, labels_of(SPEC, train))
    export = export_onnx(pipeline, SPEC.features, table, pipeline.predict_proba(table)[:, 1] + 0.01, tmp_path / "model.onnx")
    assert export.engine == "sklearn"
    assert export.reason == "differs by 0.01 on 600 rows; allowed is 0.0001"
    assert not (tmp_path / "model.onnx").exists()


def test_what_does_not_convert_is_a_fallback_with_the_reason(tmp_path: Path) -> None:
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.preprocessing import FunctionTransformer

    train = flights(START, 10, 60, 1)
    features = features_of("distance", "hour")
    table = feature_table(features, train)
    pipeline = Pipeline([("own", FunctionTransformer(np.log1p)), ("model", KNeighborsClassifier())]).fit(table, train["late"])
    export = export_onnx(pipeline, features, table, pipeline.predict_proba(table)[:, 1], tmp_path / "model.onnx")
    assert (export.engine, export.difference) == ("sklearn", None)
    assert export.reason.startswith("does not convert: ")
    assert list(tmp_path.iterdir()) == []


def test_categorical_splits_are_refused() -> None:
    random = np.random.default_rng(1)
    values = random.integers(0, 5, size=(300, 1)).astype(float)
    labels = np.isin(values[:, 0], [1, 3]).astype(int)
    split = HistGradientBoostingClassifier(max_iter=2, categorical_features=[0], min_samples_leaf=2).fit(values, labels)
    with pytest.raises(NotImplementedError, match="categorical splits"):
        tree_attributes([one[0].nodes for one in split._predictors], [0.0])


def test_a_loss_with_a_link_is_refused() -> None:
    values = np.random.default_rng(1).random((200, 1))
    model = Pipeline([("model", HistGradientBoostingRegressor(loss="poisson", max_iter=2).fit(values, values[:, 0] + 1))])
    with pytest.raises(NotImplementedError, match="loss 'poisson'"):
        to_onnx_bytes(model, features_of("a"))


@given(st.integers(0, 300), st.integers(1, 60))
def test_spread_rows(rows: int, wanted: int) -> None:
    found = spread_rows(rows, wanted)
    assert len(found) == min(rows, wanted)
    if rows:
        assert found[0] == 0
        assert wanted == 1 or found[-1] == rows - 1
