"""Pipelines take nulls and unseen categories, and convert to ONNX with equal probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.training.pipelines import MISSING, build_pipeline, feature_table, labels_of
from include.lifecycle.training.search import space_of, start_of, starting_points
from tests.unit.lifecycle.training.spec_for_tests import make_spec

SPEC = make_spec()
CASES = [(name, start_of(SPEC.training, name)) for name in SPEC.training.estimators]


def trips(rows: int, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "distance": random.uniform(100, 3000, rows),
            "wind": random.gamma(2, 5, rows),
            "carrier": random.choice([f"C{n}" for n in range(30)], rows),
            "hour": pd.Series(random.integers(0, 24, rows).astype(str)),
        }
    )
    frame["late"] = (random.random(rows) < 0.1 + 0.4 * frame["hour"].isin(["17", "18"]) + frame["wind"] / 80).astype("int8")
    frame.loc[::9, "wind"] = np.nan
    frame["carrier"] = frame["carrier"].where(random.random(rows) > 0.03)
    return frame


def test_the_feature_table_is_plain():
    table = feature_table(SPEC.features, trips(100))
    assert list(table) == ["distance", "wind", "carrier", "hour"]
    assert (table["distance"].to_numpy() == table["distance"].to_numpy().astype(np.float32)).all()
    assert table["wind"].isna().sum() == 12
    assert table["carrier"].dtype == object
    assert all(type(value) is str for value in table["carrier"])
    assert MISSING in set(table["carrier"])


@pytest.mark.parametrize(("algorithm", "params"), CASES)
def test_nulls_unseen_categories_and_a_column_without_values(algorithm: str, params: dict[str, Any]):
    rows = trips(2000).assign(distance=np.nan)
    pipeline = build_pipeline(SPEC, algorithm, params).fit(feature_table(SPEC.features, rows), labels_of(SPEC, rows))
    strange = pd.DataFrame({"distance": [None, 1.0], "wind": [None, np.nan], "carrier": ["new", None], "hour": [None, "99"]})
    probabilities = pipeline.predict_proba(feature_table(SPEC.features, strange))
    assert probabilities.shape == (2, 2)
    assert np.isfinite(probabilities).all()


@pytest.mark.parametrize(("algorithm", "params"), CASES)
def test_the_same_rows_give_the_same_model(algorithm: str, params: dict[str, Any]):
    rows = trips(1000)
    table, labels = feature_table(SPEC.features, rows), labels_of(SPEC, rows)
    first, second = (build_pipeline(SPEC, algorithm, params).fit(table, labels).predict_proba(table) for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize(("algorithm", "params"), CASES[:2])
def test_onnx_gives_the_same_probabilities(algorithm: str, params: dict[str, Any]):
    import onnxruntime
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    rows, fresh = trips(3000), trips(3000, seed=1)
    fresh.loc[:20, "carrier"] = "unseen"
    pipeline = build_pipeline(SPEC, algorithm, params).fit(feature_table(SPEC.features, rows), labels_of(SPEC, rows))
    numeric = [(name, FloatTensorType([None, 1])) for name in SPEC.features.numeric]
    categorical = [(name, StringTensorType([None, 1])) for name in SPEC.features.categorical]
    converted = convert_sklearn(pipeline, initial_types=numeric + categorical, options={id(pipeline[-1]): {"zipmap": False}})
    session = onnxruntime.InferenceSession(converted.SerializeToString())
    table = feature_table(SPEC.features, fresh)
    feed = {name: table[[name]].to_numpy(dtype=np.float32) for name in SPEC.features.numeric}
    feed |= {name: table[[name]].to_numpy() for name in SPEC.features.categorical}
    got = session.run(["probabilities"], feed)[0][:, 1]
    assert np.abs(got - pipeline.predict_proba(table)[:, 1]).max() < 1e-5


def test_only_one_kind_of_column_is_enough():
    rows = trips(500)
    for features in ({"numeric": ["distance", "wind"], "categorical": []}, {"numeric": [], "categorical": ["hour"]}):
        spec = make_spec(features=features)
        for algorithm, params in CASES:
            build_pipeline(spec, algorithm, params).fit(feature_table(spec.features, rows), labels_of(spec, rows))


def test_what_cannot_be_built_is_named():
    with pytest.raises(SpecInvalidError, match=r"'linear_regression' cannot learn binary_classification; allowed: hist_"):
        build_pipeline(SPEC, "linear_regression", {})
    regression = make_spec(objective={"task": "regression", "metric": "rmse"})
    with pytest.raises(SpecInvalidError, match="'logistic_regression' cannot learn regression; allowed: hist_"):
        build_pipeline(regression, "logistic_regression", {})


def test_starting_points_lie_within_their_bounds():
    for point in starting_points(SPEC.training):
        for key, dimension in space_of(SPEC.training, point["algorithm"]).items():
            assert dimension.low <= point[f"{point['algorithm']}__{key}"] <= dimension.high
