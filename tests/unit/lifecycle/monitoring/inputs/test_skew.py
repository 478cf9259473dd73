"""Skew: what differs from the version's start on, only then, until it is gone."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from include.lifecycle.monitoring.inputs.past import Past
from include.lifecycle.monitoring.inputs.skew import check_skew
from include.lifecycle.monitoring.profile import build_profile
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.verdicts import Outcome
from tests.unit.lifecycle.monitoring.examples import START, as_predictions, make_spec, make_table

LIVE = START + timedelta(days=200)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def watched():
    return make_spec(monitoring={"skew": {"windows": 3}})


@pytest.fixture(scope="module")
def reference(watched):
    train, _ = make_table(150, seed=11)
    holdout, honest = make_table(30, start=START + timedelta(days=150), seed=12, per_day=220)
    return build_profile(watched, train, holdout, honest, seed=3)


def live(day=0, *, per_day=300, seed=21, **changes):
    frame, honest = make_table(1, start=LIVE + day * DAY, per_day=per_day, seed=seed, **changes)
    return as_predictions(frame, honest, days=1, start=LIVE + day * DAY)


def outcomes(verdicts):
    return {verdict.check: verdict.outcome for verdict in verdicts}


def test_a_column_that_is_served_otherwise_than_trained_is_skewed(watched, reference):
    verdicts = check_skew(watched, reference, live(warmer=5.0), past=Past({}))
    assert outcomes(verdicts) == {"skew:wind": "pass", "skew:warmth": "fail", "skew:city": "pass"}
    found = verdicts[1].evidence
    assert found["effect"] == pytest.approx(1.25, abs=0.15)
    assert (found["reference"], found["severity"]) == ("hold-out", "warn")


def test_other_categories_are_skew(watched, reference):
    window = live()
    window.features["city"] = np.full(window.rows, "Paris", dtype=object)
    assert outcomes(check_skew(watched, reference, window, past=Past({})))["skew:city"] == "fail"


def test_later_windows_are_looked_at_only_while_skew_stands_open(watched, reference):
    started = {1: LIVE}
    assert len(check_skew(watched, reference, live(2), past=Past(started))) == 3
    assert check_skew(watched, reference, live(3), past=Past(started)) == []
    again = check_skew(watched, reference, live(9), past=Past(started, frozenset({"skew:warmth", "covariate:wind"})))
    assert outcomes(again) == {"skew:warmth": "pass"}


def test_without_past_hold_out_or_windows_there_is_none(watched, reference, profile):
    assert check_skew(watched, reference, live()) == []
    assert check_skew(make_spec(monitoring={"skew": {"windows": 0}}), reference, live(), past=Past({})) == []
    assert check_skew(watched, profile, live(), past=Past({})) == []  # registered without


def test_faults_and_few_rows_are_inconclusive(watched, reference):
    faulty = check_skew(watched, reference, live(), frozenset({"wind"}), Past({}))
    assert outcomes(faulty) == {"skew:wind": "inconclusive", "skew:warmth": "pass", "skew:city": "pass"}
    few = check_skew(watched, reference, live(per_day=50), past=Past({}))
    assert {verdict.outcome for verdict in few} == {Outcome.INCONCLUSIVE}


def test_the_place_of_a_window_counts_from_the_first_measured_one():
    window = Window(LIVE + 2 * DAY, LIVE + 3 * DAY)
    assert Past({1: LIVE}).place(1, window) == 2
    assert Past({1: LIVE + 5 * DAY}).place(1, window) == 0  # late rows of an earlier window
    assert Past({}).place(1, window) == 0


def test_versions_that_are_served_as_trained_are_hardly_ever_skewed(watched, reference):
    failed = sum(
        found.failed for seed in range(200) for found in check_skew(watched, reference, live(seed=500 + seed), past=Past({}))
    )
    assert failed == 0
