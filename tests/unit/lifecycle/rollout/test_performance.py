"""Skill lost against the champion from the windows that monitoring stored: same windows, enough of them, bounds that hold."""

from datetime import timedelta

import numpy as np
import pytest

from include.lifecycle.database import transaction
from include.lifecycle.rollout.judging.checks import check_performance
from include.lifecycle.rollout.judging.performance import performance_of, skill_lost
from include.lifecycle.rollout.states import Measurement
from include.lifecycle.tables import windows
from include.lifecycle.verdicts import Outcome
from tests.unit.lifecycle.rollout.test_machine import plan_of

PLAN = plan_of(metric="roc_auc")


@pytest.fixture
def stored(rt):
    """Write windows of one version: `stored(version, [auc, ...], revision=1)`, hour by hour since the rollout's start."""

    def write(version, values, revision=1, first=0):
        for number, value in enumerate(values, first):
            start = rt.clock.now() + timedelta(hours=number)
            row = {"model": "churn", "version": version, "window_start": start, "window_end": start + timedelta(hours=1)}
            row |= {"rows": 900, "mature_rows": 500, "revision": revision}
            row["measurements"] = {"performance": {"roc_auc": value, "observed_rate": 0.2}}
            with transaction(rt.engine) as connection:
                connection.execute(windows.insert().values(row))

    return write


def judged(rt, rollout_id):
    return check_performance(PLAN, Measurement(performance=performance_of(rt, rollout_id, PLAN)))


def noisy(mean, count=12, seed=1):
    return list(mean + np.random.default_rng(seed).normal(0, 0.004, count))


def test_a_bad_challenger_fails(rt, open_rollout, stored):
    rollout_id = open_rollout(metric="roc_auc")
    stored(7, noisy(0.75))
    stored(8, noisy(0.60, seed=2))
    verdict = judged(rt, rollout_id)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.evidence["detail"]["champion_skill"] == pytest.approx(0.5, abs=0.02)
    assert verdict.evidence["drop_lower"] < 0.6 < verdict.evidence["drop_upper"]


def test_an_equal_challenger_passes(rt, open_rollout, stored):
    rollout_id = open_rollout(metric="roc_auc")
    stored(7, noisy(0.75))
    stored(8, noisy(0.75, seed=2))
    assert judged(rt, rollout_id).outcome is Outcome.PASS


def test_too_few_common_windows_say_nothing(rt, open_rollout, stored):
    rollout_id = open_rollout(metric="roc_auc")
    stored(7, noisy(0.75))
    stored(8, noisy(0.55, 4))
    assert judged(rt, rollout_id).outcome is Outcome.INCONCLUSIVE


def test_a_window_of_one_class_tells_no_skill(rt, open_rollout):
    plan = plan_of(metric="brier_score")
    rollout_id = open_rollout(metric="brier_score")
    with transaction(rt.engine) as connection:
        for version, loss in ((7, 0.10), (8, 0.12)):
            for hour in range(12):
                start = rt.clock.now() + timedelta(hours=hour)
                row = {"model": "churn", "version": version, "window_start": start, "window_end": start + timedelta(hours=1)}
                rate = 0.0 if hour == 5 else 0.2
                found = {"performance": {"brier_score": loss + hour / 1e4, "observed_rate": rate}}
                connection.execute(windows.insert().values(row | {"rows": 9, "mature_rows": 9, "measurements": found}))
    evidence = performance_of(rt, rollout_id, plan)
    assert (evidence.detail["windows"], np.isfinite([evidence.drop_lower, evidence.drop_upper]).all()) == (11, True)


def test_the_newest_revision_counts(rt, open_rollout, stored):
    rollout_id = open_rollout(metric="roc_auc")
    stored(7, noisy(0.75))
    stored(8, noisy(0.55))
    stored(8, noisy(0.75, seed=3), revision=2)
    assert judged(rt, rollout_id).outcome is Outcome.PASS


def test_a_champion_without_skill_is_no_basis():
    assert skill_lost(np.full(8, 0.01), np.full(8, 0.005), np.ones(8), 0.01) is None


def test_looking_after_each_window_rolls_a_good_version_back_rarely():
    """Equal skill, a look after each of 60 windows: the lower bound exceeds zero, let alone the limit, in fewer than alpha."""
    random, wrong = np.random.default_rng(11), 0
    for _ in range(300):
        ours, theirs = random.normal(0.4, 0.05, (2, 60))
        looks = (skill_lost(ours[:count], theirs[:count], np.ones(count), 0.05) for count in range(5, 61, 5))
        wrong += any(found is not None and found.drop_lower > 0 for found in looks)
    assert wrong / 300 <= 0.05


def test_a_regressions_error_is_compared_by_its_growth(rt, open_rollout):
    plan = plan_of(metric="rmse")
    rollout_id = open_rollout(metric="rmse")
    random = np.random.default_rng(3)
    with transaction(rt.engine) as connection:
        for version, error in ((7, 4.0), (8, 6.0)):
            for hour in range(12):
                start = rt.clock.now() + timedelta(hours=hour)
                row = {"model": "churn", "version": version, "window_start": start, "window_end": start + timedelta(hours=1)}
                found = {"performance": {"rmse": error + random.normal(0, 0.05), "no_skill": 0.0, "observed_mean": 30.0}}
                connection.execute(windows.insert().values(row | {"rows": 9, "mature_rows": 9, "measurements": found}))
    evidence = performance_of(rt, rollout_id, plan)
    assert evidence.drop_lower < 0.5 < evidence.drop_upper
    assert check_performance(plan, Measurement(performance=evidence)).outcome is Outcome.FAIL


def test_a_stored_no_skill_value_is_what_skill_is_beyond(rt, open_rollout):
    plan = plan_of(metric="log_loss")
    rollout_id = open_rollout(metric="log_loss")
    with transaction(rt.engine) as connection:
        for version, loss in ((7, 0.5), (8, 0.5)):
            for hour in range(8):
                start = rt.clock.now() + timedelta(hours=hour)
                row = {"model": "churn", "version": version, "window_start": start, "window_end": start + timedelta(hours=1)}
                found = {"performance": {"log_loss": loss + 0.001 * (hour % 2), "no_skill": 1.0}}
                connection.execute(windows.insert().values(row | {"rows": 9, "mature_rows": 9, "measurements": found}))
    evidence = performance_of(rt, rollout_id, plan)
    assert evidence.detail["champion_skill"] == pytest.approx(0.5, abs=0.01)
    assert evidence.drop_upper < 0.01


def test_a_perfect_champion_is_no_basis_for_growth():
    assert skill_lost(np.full(8, 0.1), np.zeros(8), np.ones(8), 0.01, error=True) is None


def test_looking_after_each_window_rarely_calls_equal_errors_growth():
    random, wrong = np.random.default_rng(12), 0
    for _ in range(300):
        ours, theirs = random.normal(5.0, 0.4, (2, 60))
        looks = (skill_lost(ours[:count], theirs[:count], np.ones(count), 0.05, error=True) for count in range(5, 61, 5))
        wrong += any(found is not None and found.drop_lower > 0 for found in looks)
    assert wrong / 300 <= 0.05
