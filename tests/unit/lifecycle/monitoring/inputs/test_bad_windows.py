"""Windows that nobody wishes for: each check of inputs answers in three values, and none breaks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from include.lifecycle.monitoring.inputs.past import Past
from include.lifecycle.monitoring.inputs.season import Season
from include.lifecycle.monitoring.measure import measure_window
from include.lifecycle.monitoring.profile import build_profile
from include.lifecycle.storage import Storage
from tests.unit.lifecycle.monitoring.examples import START, as_labelled, as_predictions, make_spec, make_table

LIVE = START + timedelta(days=90)
KINDS = ("covariate", "data_fault", "skew", "creep", "attribution_drift", "multivariate_drift")
ALL_ON = make_spec(monitoring={"skew": {"windows": 3}, "multivariate": {"enabled": True, "draws": 20, "rows": 500}})


@pytest.fixture(scope="module")
def reference():
    train, _ = make_table(60, seed=11)
    holdout, honest = make_table(30, start=START + timedelta(days=60), seed=12, per_day=100)
    return build_profile(ALL_ON, train, holdout, honest, seed=3)


def measured(reference, tmp_path, change, *, rows=400):
    frame, honest = make_table(1, start=LIVE, per_day=400, seed=21)
    frame, honest = frame[:rows], honest[:rows]
    window = as_predictions(change(frame), honest, days=1, start=LIVE)
    past = Past({}, frozenset(), Season(Storage(tmp_path), ALL_ON.name, [], {}))
    row = measure_window(ALL_ON, reference, window, as_labelled(frame, honest), now=window.window.end, notes=[], past=past)
    return [verdict for verdict in row["verdicts"] if verdict["check"].partition(":")[0] in KINDS]


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.assign(wind=np.nan, warmth=np.nan, city=None),
        lambda frame: frame.assign(wind=3.0, warmth=15.0, city="Oslo"),
        lambda frame: frame.assign(wind=np.inf),
        lambda frame: frame.assign(wind=[*([np.inf, -np.inf] * 100), *([1.0] * 200)]),
        lambda frame: frame.assign(city=[f"street {number}" for number in range(len(frame))]),
        lambda frame: frame.assign(wind=1e300),
        lambda frame: frame.assign(warmth=frame["warmth"].astype(str).radd("about ")),
    ],
    ids=["all null", "constant", "infinite", "some infinite", "all distinct", "huge", "text for numbers"],
)
def test_no_check_breaks(reference, tmp_path, change):
    verdicts = measured(reference, tmp_path, change)
    assert [verdict["reason"] for verdict in verdicts if "broke" in verdict["reason"]] == []
    assert {verdict["check"].partition(":")[0] for verdict in verdicts} == set(KINDS)
    assert all(np.isfinite(verdict["evidence"].get("effect", 0.0)) for verdict in verdicts if verdict["outcome"] == "fail")


def test_a_window_without_rows_tells_nothing(reference, tmp_path):
    verdicts = measured(reference, tmp_path, lambda frame: frame, rows=0)
    assert {verdict["outcome"] for verdict in verdicts} == {"inconclusive"}
    assert [verdict["reason"] for verdict in verdicts if "broke" in verdict["reason"]] == []


def test_a_feature_that_the_version_does_not_know_hides_no_other(reference, tmp_path):
    """The model's file gained and lost a feature since this version was trained."""
    now = make_spec(features={"numeric": ["wind", "rain"], "categorical": ["city"]}, monitoring=ALL_ON.monitoring.model_dump())
    frame, honest = make_table(1, start=LIVE, per_day=400, seed=21)
    window = as_predictions(frame, honest, days=1, start=LIVE)
    features = {"wind": window.features["wind"], "rain": window.features["wind"], "city": window.features["city"]}
    row = measure_window(
        now,
        reference,
        replace(window, features=features),
        as_labelled(frame, honest),
        now=window.window.end,
        notes=[],
        past=Past({}),
    )
    found = {verdict["check"]: verdict["outcome"] for verdict in row["verdicts"]}
    assert found["covariate:wind:novelty"] == found["skew:city"] == "pass"
    assert found["attribution_drift"] == found["multivariate_drift"] == "inconclusive"
    assert not any("rain" in check for check in found)


def test_a_model_of_which_nothing_is_watched_can_be_registered():
    plain = dict.fromkeys(type(ALL_ON).model_fields["columns"].annotation.__args__[1].model_fields)
    ignored = plain | {"drift": "ignore", "pii": "keep", "outliers": "watch"}
    blind = make_spec(columns=dict.fromkeys(["wind", "warmth", "city"], ignored), monitoring=ALL_ON.monitoring.model_dump())
    train, _ = make_table(60, seed=11)
    holdout, honest = make_table(30, start=START + timedelta(days=60), seed=12, per_day=100)
    found = build_profile(blind, train, holdout, honest, seed=3).inputs
    assert (found.novelty, found.holdout, found.creep, found.multivariate) == ({}, {}, {}, None)
    assert set(found.attribution.features) == {"wind", "warmth", "city"}
