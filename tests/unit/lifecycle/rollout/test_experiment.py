"""The experiment's check on evidence as it is measured: win, harm, too little, broken split, A/A."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.rollout.evidence import Measurement
from include.lifecycle.rollout.experiments.differences import Exposure, Metric, Rules, experiment_evidence
from include.lifecycle.rollout.judging.experiment import check_experiment, check_sample_ratio
from include.lifecycle.verdicts import Outcome
from tests.unit.lifecycle.rollout.test_machine import plan_of

WEEK = 7 * 86_400
AB = {
    "split": 0.5,
    "sticky_header": "x-user-id",
    "minimum_samples": 1000,
    "at_least": "7d",
    "at_most": "28d",
    "metric": "success",
    "business": {"query": None, "per": "sticky", "direction": "higher", "missing": "zero"},
    "minimum_effect": 0.01,
    "sample_ratio_alpha": 0.001,
    "alpha": 0.05,
    "winner": "auto",
    "then": "promote",
}


def ab_plan(strategy="ab_test", **rules):
    stage = {"kind": "ab_test", "percent": 50, "at_least": "7d", "requests": 1000, "must_pass": ["experiment"]}
    plan = plan_of(strategy=strategy, ab_test=AB | rules)
    return plan.model_validate(plan.model_dump(mode="json") | {"stages": [stage]})


def seen(ours, theirs, *, elapsed=WEEK, counts=None, guards=(), higher=True):
    """A measurement of two arms' samples; `counts` are keys by arm when they are not the samples."""
    challenger = np.arange(len(ours) + len(theirs)) < len(ours)
    rules = Rules(share=0.5, alpha=0.05, harm_alpha=0.002, minimum_samples=1000)
    metrics = [Metric("success", np.concatenate([ours, theirs]), higher, decides=True), *guards]
    found = experiment_evidence(Exposure(challenger=challenger), metrics, rules)
    detail = found.detail | {"elapsed_seconds": elapsed}
    if counts:
        met = Exposure(challenger=np.arange(sum(counts)) < counts[0])
        empty = Metric("success", np.full(sum(counts), np.nan), True, decides=True)
        detail["sample_ratio"] = experiment_evidence(met, [empty], rules).detail["sample_ratio"]
    return Measurement(experiment=found.model_copy(update={"detail": detail}))


def rate(share, count, seed=1):
    return (np.random.default_rng(seed).permutation(count) < share * count).astype(float)


def test_nothing_measured_is_inconclusive():
    assert check_experiment(ab_plan(), Measurement()).outcome is Outcome.INCONCLUSIVE
    assert check_sample_ratio(ab_plan(), Measurement()).outcome is Outcome.INCONCLUSIVE


def test_a_win_needs_its_days_and_samples():
    strong = rate(0.9, 5000), rate(0.8, 5000)
    early = check_experiment(ab_plan(), seen(*strong, elapsed=WEEK / 2))
    assert (early.outcome, "3.5 of 7.0 days" in early.reason) == (Outcome.INCONCLUSIVE, True)
    few = check_experiment(ab_plan(), seen(rate(1.0, 900), rate(0.5, 900)))
    assert (few.outcome, "900 of 1000 samples" in few.reason) == (Outcome.INCONCLUSIVE, True)
    assert check_experiment(ab_plan(), seen(*strong)).passed


def test_harm_ends_it_on_the_first_day_and_with_few_samples():
    worse = check_experiment(ab_plan(), seen(rate(0.5, 300), rate(0.9, 300), elapsed=60))
    assert worse.failed
    assert "success is surely worse: difference -0.4000" in worse.reason


def test_a_lower_loss_is_better():
    rng = np.random.default_rng(2)
    good = seen(rng.exponential(0.8, 9000), rng.exponential(1.0, 9000), higher=False)
    assert good.experiment.difference > 0
    assert check_experiment(ab_plan(), good).passed


def test_a_guard_that_is_surely_worse_fails_it():
    ours, theirs = rate(0.9, 5000), rate(0.8, 5000)
    money = Metric("business", np.concatenate([np.full(5000, 1.0) + rate(0.5, 5000), np.full(5000, 2.0) + rate(0.5, 5000)]), True)
    verdict = check_experiment(ab_plan(), seen(ours, theirs, guards=[money]))
    assert verdict.failed
    assert verdict.reason.startswith("business is surely worse")


@pytest.mark.parametrize(("winner", "outcome"), [("auto", Outcome.FAIL), ("manual", Outcome.INCONCLUSIVE)])
def test_no_improvement_worth_having_loses_or_waits_for_a_person(winner, outcome):
    verdict = check_experiment(ab_plan(winner=winner, minimum_effect=0.05), seen(rate(0.8, 9000), rate(0.8, 9000)))
    assert verdict.outcome is outcome
    assert "not better by the minimum effect" in verdict.reason


def test_a_sure_but_too_small_improvement_does_not_win():
    verdict = check_experiment(ab_plan(minimum_effect=0.03), seen(rate(0.82, 90_000), rate(0.80, 90_000)))
    assert verdict.failed
    assert verdict.evidence["lower"] > 0


def test_a_broken_split_ends_what_would_have_won():
    won = seen(rate(0.9, 5000), rate(0.8, 5000), counts=(5000, 5800))
    assert check_sample_ratio(ab_plan(), won).failed
    verdict = check_experiment(ab_plan(), won)
    assert verdict.failed
    assert verdict.reason.startswith("the experiment is broken: 5000 of 10800 keys (46.3%)")


def test_a_version_against_itself():
    plan = ab_plan("aa_test", metric=None)
    assert check_experiment(plan, seen(rate(0.8, 5000), rate(0.8, 5000))).passed
    assert check_experiment(plan, seen(rate(0.8, 500), rate(0.8, 500))).outcome is Outcome.INCONCLUSIVE
    odd = check_experiment(plan, seen(rate(0.7, 5000), rate(0.8, 5000), elapsed=60))
    assert (odd.outcome, "a version differs from itself" in odd.reason) == (Outcome.FAIL, True)


@given(st.integers(100, 3000), st.integers(100, 3000), st.floats(0.05, 0.95), st.floats(0.05, 0.95), st.integers(0, 2 * WEEK))
def test_it_never_wins_without_samples_days_and_effect(first, second, one, other, elapsed):
    found = seen(rate(one, first), rate(other, second), elapsed=elapsed, counts=(1000, 1000))
    verdict = check_experiment(ab_plan(), found)
    if verdict.passed:
        assert min(first, second) >= 1000
        assert elapsed >= WEEK
        assert found.experiment.difference >= 0.01
        assert found.experiment.lower > 0
    if found.experiment.difference is not None and found.experiment.difference > 0.01:
        assert not verdict.failed


def test_a_user_without_a_label_counts_for_the_split_and_not_for_the_mean():
    values = np.array([1.0, np.nan, 0.0, np.nan] * 300)
    challenger = np.array([True, True, False, False] * 300)
    rules = Rules(share=0.5, alpha=0.05, harm_alpha=0.002, minimum_samples=1000)
    found = experiment_evidence(Exposure(challenger=challenger), [Metric("success", values, True, decides=True)], rules)
    assert (found.samples, found.champion_samples) == (300, 300)
    assert (found.detail["sample_ratio"]["challenger"], found.detail["sample_ratio"]["champion"]) == (600, 600)
    assert found.detail["metrics"][0]["challenger"] == {"samples": 300, "mean": 1.0, "deviation": 0.0}
