"""Calibration and action rate: verdicts, reference values, and error rates by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from include.lifecycle.evaluation.calibration import action_rate_gate, calibration_error, calibration_gate, outcome_around
from include.lifecycle.evaluation.sample import sample_of
from include.lifecycle.statistics.intervals import Interval
from tests.unit.lifecycle.evaluation.cases import spec_of, trips


def judged(p: np.ndarray, frame, **calibration):
    spec = spec_of(calibration=calibration)
    return calibration_gate(spec, sample_of(spec, frame), p)[0]


def test_rates_pass_and_exaggeration_fails() -> None:
    frame, p = trips(30, 200)
    assert judged(p, frame, max_error=0.08).outcome == "pass"
    wild = np.clip((p - 0.3) * 3 + 0.3, 0, 1)
    found = judged(wild, frame, max_error=0.05, act="fail")
    assert (found.outcome, found.evidence["act"]) == ("fail", "fail")
    assert found.evidence["brier_score"] > 0


def test_few_rows_are_inconclusive() -> None:
    frame, p = trips(4, 60)
    assert judged(p, frame).outcome == "inconclusive"


def test_multiclass_error_is_that_of_the_predicted_class() -> None:
    random = np.random.default_rng(4)
    p = random.dirichlet([1, 1, 1], 3000)
    y = np.array([random.choice(3, p=row) for row in p], dtype=float)
    metric = calibration_error(spec_of("multiclass_classification"))
    confidence, hit = p.max(axis=1), p.argmax(axis=1) == y
    which = np.minimum((confidence * 10).astype(int), 9)
    wanted = sum(abs((confidence - hit)[which == one].sum()) for one in range(10)) / len(y)
    assert metric.score(y, p) == pytest.approx(wanted)
    assert metric.score(y, p) < 0.04 < metric.score(y, np.eye(3)[p.argmax(axis=1)])


def test_regression_has_none() -> None:
    frame, p = trips()
    assert calibration_gate(spec_of("regression"), sample_of(spec_of("regression"), frame), p) == []


def test_a_calibrated_model_hardly_ever_fails_nor_one_at_the_limit() -> None:
    """80 worlds each: true error 0 against a limit that noise alone reaches, and true error at the limit."""
    calibrated = at_the_limit = 0
    for seed in range(80):
        frame, p = trips(20, 40, seed=seed, day_effect=0.0)
        calibrated += judged(p, frame, max_error=0.03).failed
        at_the_limit += judged(np.clip(p + 0.05, 0, 1), frame, max_error=0.05).failed
    assert calibrated <= 4
    assert at_the_limit <= 9  # 5 % at most; binomial 99 % quantile of 80 is 9


def test_action_rate_is_compared_on_the_same_rows() -> None:
    frame, p = trips(30, 100)
    spec = spec_of(action_rate={"max_change": 0.1})
    sample = sample_of(spec, frame)
    (same,) = action_rate_gate(spec, sample, p, p, 3)
    assert (same.outcome, same.evidence["estimate"]) == ("pass", 0.0)
    (more,) = action_rate_gate(spec, sample, np.clip(p + 0.3, 0, 1), p, 3)
    assert more.outcome == "fail"
    assert more.evidence["estimate"] == pytest.approx((p + 0.3 >= 0.5).mean() - (p >= 0.5).mean(), abs=1e-6)
    (fewer,) = action_rate_gate(spec, sample, np.clip(p - 0.4, 0, 1), p, 3)
    assert fewer.outcome == "fail"


@pytest.mark.parametrize(
    ("lower", "upper", "outcome"),
    [
        (-0.1, 0.1, "pass"),
        (0.05, 0.11, "inconclusive"),
        (0.11, 0.2, "fail"),
        (-0.2, -0.11, "fail"),
        (float("nan"), 0.0, "inconclusive"),
    ],
)
def test_a_change_is_judged_both_ways(lower: float, upper: float, outcome: str) -> None:
    assert outcome_around(Interval(estimate=0, lower=lower, upper=upper, confidence=0.95), 0.1) == outcome
