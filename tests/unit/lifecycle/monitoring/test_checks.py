"""The checks of one window: drift, data faults, performance; each with what it must find and what it must leave alone."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from include.lifecycle.monitoring.drift import check_drift, check_prediction_drift
from include.lifecycle.monitoring.faults import check_faults, faulty_columns
from include.lifecycle.monitoring.health import band, health_of
from include.lifecycle.monitoring.measure import guarded, measure_window
from include.lifecycle.monitoring.performance import CALIBRATION, check_performance, performance_numbers
from include.lifecycle.monitoring.profile import build_profile
from include.lifecycle.verdicts import Outcome
from tests.unit.lifecycle.monitoring.examples import START, as_labelled, as_predictions, make_spec, make_table

LIVE = START + timedelta(days=200)


def window(days=4, *, seed=21, change=None, spread=1.0, **changes):
    frame, honest = make_table(days, start=LIVE, per_day=300, seed=seed, **changes)
    if change:
        frame = change(frame)
    predictions = as_predictions(frame, honest**spread, days=days, start=LIVE)
    return predictions, as_labelled(frame, honest**spread)


def outcomes(verdicts):
    return {verdict.check: verdict.outcome for verdict in verdicts}


def test_nothing_is_found_where_nothing_changed(spec, profile):
    predictions, labelled = window()
    verdicts = [
        *check_faults(spec, profile, predictions),
        *check_drift(spec, profile, predictions),
        check_prediction_drift(spec, profile, predictions),
        *check_performance(spec, profile, predictions.window, labelled),
    ]
    assert {verdict.outcome for verdict in verdicts} == {Outcome.PASS}
    assert len(verdicts) == 4 + 3 + 1 + 2


def test_a_shift_fails_its_column_only_and_warns(spec, profile):
    verdicts = check_drift(spec, profile, window(warmer=4.0)[0])
    assert outcomes(verdicts) == {"covariate:wind": "pass", "covariate:warmth": "fail", "covariate:city": "pass"}
    found = verdicts[1].evidence
    assert found["effect"] == pytest.approx(1.0, abs=0.1)
    assert (found["severity"], found["reference"]) == ("warn", "training")
    assert found["threshold"] == max(found["null_threshold"], found["minimum_effect"])


def test_new_categories_are_drift(spec, profile):
    verdicts = check_drift(spec, profile, window(change=lambda frame: frame.assign(city="Paris"))[0])
    assert outcomes(verdicts)["covariate:city"] == "fail"


def test_an_effect_below_the_minimum_is_none(profile):
    high_bar = make_spec(monitoring={"drift": {"minimum_effect": 1.5}})
    assert outcomes(check_drift(high_bar, profile, window(warmer=4.0)[0]))["covariate:warmth"] == "pass"


def test_scores_that_move_are_prediction_drift(spec, profile):
    verdict = check_prediction_drift(spec, profile, window(spread=0.25)[0])
    assert verdict.failed
    assert verdict.evidence["mean_prediction"] > verdict.evidence["reference_mean"]


def test_few_rows_tell_nothing(profile):
    strict = make_spec(monitoring={"minimum_rows": 100_000, "minimum_labels": 100_000})
    predictions, labelled = window()
    verdicts = [
        *check_faults(strict, profile, predictions),
        *check_drift(strict, profile, predictions),
        check_prediction_drift(strict, profile, predictions),
        *check_performance(strict, profile, predictions.window, labelled),
    ]
    assert {verdict.outcome for verdict in verdicts} == {Outcome.INCONCLUSIVE}
    assert all("100000" in verdict.reason for verdict in verdicts)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda frame: frame.assign(warmth=np.nan), "missing"),
        (lambda frame: frame.assign(warmth=frame["warmth"].where(frame.index % 2 != 0)), "nulls"),
        (lambda frame: frame.assign(warmth=frame["warmth"] * 3.28), "unit"),
        (lambda frame: frame.assign(warmth=frame["warmth"] / 3.28), "unit"),
    ],
)
def test_faults_are_named(spec, profile, change, fault):
    predictions, _ = window(change=change)
    verdicts = check_faults(spec, profile, predictions)
    (failed,) = [verdict for verdict in verdicts if verdict.failed]
    assert (failed.check, failed.evidence["fault"], failed.evidence["severity"]) == ("data_fault:warmth", fault, "critical")
    drift = check_drift(spec, profile, predictions, faulty_columns(verdicts))
    assert outcomes(drift)["covariate:warmth"] == "inconclusive"


def test_an_empty_column_that_was_nearly_empty_in_training_hides_no_other_fault(spec):
    train, _ = make_table(60, seed=11)
    holdout, honest = make_table(20, start=START + timedelta(days=60), seed=12)
    for frame in (train, holdout):
        frame.loc[np.arange(len(frame)) % 5 > 0, "wind"] = None
    sparse = build_profile(spec, train, holdout, honest, seed=3)
    predictions, _ = window(change=lambda frame: frame.assign(wind=None, warmth=None))
    found = outcomes(check_faults(spec, sparse, predictions))
    assert found == {
        "data_fault:wind": Outcome.PASS,
        "data_fault:warmth": Outcome.FAIL,
        "data_fault:city": Outcome.PASS,
        "data_fault:@rows": Outcome.PASS,
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.assign(warmth=frame["warmth"] + 40),  # a season: the spread stays
        lambda frame: frame.assign(warmth=(frame["warmth"] - 15) * 0.4 + 4),  # a calm cold spell
        lambda frame: frame.assign(warmth=frame["warmth"].where(frame.index % 20 != 0)),  # five per cent of nulls
    ],
)
def test_what_is_no_fault(spec, profile, change):
    assert not any(verdict.failed for verdict in check_faults(spec, profile, window(change=change)[0]))


def test_a_rate_that_fell_is_a_calibration_gap(spec, profile):
    predictions, labelled = window(rate_shift=-1.5)
    verdict = {each.check: each for each in check_performance(spec, profile, predictions.window, labelled)}[CALIBRATION]
    assert verdict.failed
    assert verdict.evidence["gap"] > verdict.evidence["lower"] > 0.05
    assert (verdict.evidence["severity"], verdict.evidence["measure"]) == ("act", "calibration_gap")


@pytest.mark.parametrize(("noise", "severity"), [(0.0, None), (1.0, "concept")])
def test_lost_skill_stands_on_the_ladder(spec, profile, noise, severity):
    frame, honest = make_table(8, start=LIVE, per_day=500, seed=31)
    shuffled = np.random.default_rng(1).permutation(honest)
    blurred = np.where(np.random.default_rng(2).uniform(size=honest.size) < noise, shuffled, honest)
    predictions = as_predictions(frame, blurred, days=8, start=LIVE)
    verdict = check_performance(spec, profile, predictions.window, as_labelled(frame, blurred))[0]
    assert verdict.check == "decay:roc_auc"
    assert (verdict.evidence["severity"] if verdict.failed else None) == severity
    assert verdict.evidence["lower"] < verdict.evidence["effect"] or not severity


def test_another_threshold_than_the_hold_outs_is_no_decay():
    table, _ = make_table(120, seed=11)
    held, rates = make_table(60, start=START + timedelta(days=120), seed=12)
    then = make_spec(objective={"metric": "accuracy", "threshold": 0.4})
    profile = build_profile(then, table, held, rates, seed=3)
    assert profile.performance.threshold == 0.4
    assert profile.performance.value == pytest.approx(np.mean((rates >= 0.4) == (held["wet"] == 1)))
    predictions, labelled = window()
    assert "threshold" not in check_performance(then, profile, predictions.window, labelled)[0].reason
    now = make_spec(objective={"metric": "accuracy", "threshold": 0.6})
    verdict = check_performance(now, profile, predictions.window, labelled)[0]
    assert (verdict.check, verdict.outcome) == ("decay:accuracy", "inconclusive")
    assert "measured at threshold 0.4, the model now acts at 0.6" in verdict.reason
    found = performance_numbers(now, labelled)["accuracy"]
    assert found == pytest.approx(np.mean((labelled.values >= 0.6) == (labelled.labels == 1)))


def test_one_class_or_one_moment_is_inconclusive(spec, profile):
    predictions, labelled = window(change=lambda frame: frame.assign(wet=1))
    assert outcomes(check_performance(spec, profile, predictions.window, labelled))["decay:roc_auc"] == "inconclusive"
    frame, honest = make_table(1, start=LIVE, per_day=300, seed=5)
    moment = as_labelled(frame.assign(at=frame["at"].iloc[0]), honest)
    assert outcomes(check_performance(spec, profile, predictions.window, moment))[CALIBRATION] == "inconclusive"


def test_performance_numbers_without_labels_are_none(spec):
    _, labelled = window()
    empty = type(labelled)(np.empty(0), np.empty(0), np.empty(0, dtype=np.int64), 0.0)
    assert performance_numbers(spec, empty) == {}
    assert set(performance_numbers(spec, labelled)) >= {"roc_auc", "brier_score", "calibration_gap", "observed_rate"}


def measured(spec, profile, **changes):
    predictions, labelled = window(**changes)
    return measure_window(spec, profile, predictions, labelled, now=LIVE + timedelta(days=9), notes=[])


def test_health_is_one_when_all_is_well_and_falls_with_each_trouble(spec, profile):
    healthy = measured(spec, profile)
    assert healthy["health"] == pytest.approx(1.0)
    assert set(healthy["health_parts"]) == {"performance", "prediction", "drift", "data", "coverage"}
    warmer, gap = measured(spec, profile, warmer=4.0), measured(spec, profile, rate_shift=-2.5)
    assert warmer["health_parts"]["drift"] == pytest.approx(2 / 3)
    assert gap["health"] < warmer["health"] < 1
    assert [band(value) for value in (0.81, 0.8, 0.6, 0.59)] == ["good", "warning", "warning", "critical"]


def test_nothing_known_has_no_health(spec, profile):
    assert health_of(spec, [], rows=500, mature_rows=0, labels_due=True) == (None, {})
    without = measured(spec, None)
    assert without["health"] is None
    assert {verdict["outcome"] for verdict in without["verdicts"]} == {"inconclusive"}
    assert without["measurements"]["performance"]["roc_auc"] > 0.6


def test_a_check_that_breaks_is_inconclusive_and_says_why():
    (verdict,) = guarded("covariate", lambda: [1 / 0])
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "ZeroDivisionError" in verdict.reason
