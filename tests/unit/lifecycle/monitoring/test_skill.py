"""Skill and its error: fixed points of the formulas, and coverage of the interval when days differ."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.evaluation.metrics import metrics_at
from include.lifecycle.monitoring.skill import Estimate, mean_gap, skill, skill_values, time_blocks

DAY = 86_400.0


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision", "brier_score", "log_loss"])
def test_no_skill_is_zero_and_perfect_is_one(metric):
    rate = 0.3
    none = {"roc_auc": 0.5, "average_precision": rate, "brier_score": rate * (1 - rate)}
    none["log_loss"] = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    best = {"roc_auc": 1.0, "average_precision": 1.0, "brier_score": 0.0, "log_loss": 0.0}
    found = skill_values(metric, np.array([none[metric], best[metric]]), np.array([rate, rate]))
    assert found == pytest.approx([0, 1])


@given(st.integers(1, 40), st.integers(1, 500))
def test_blocks_are_numbered_without_gaps(days, rows):
    times = np.random.default_rng(rows).uniform(0, days * DAY, rows)
    codes = time_blocks(times, 0.0, days * DAY)
    assert set(codes) == set(range(codes.max() + 1))
    assert codes.max() < (days if days >= 7 else 24)


def test_few_blocks_have_no_margin():
    assert np.isnan(Estimate(0.1, 0.01, 4).margin(0.95))
    assert Estimate(0.1, 0.01, 30).margin(0.95) == pytest.approx(0.017, abs=1e-3)


def test_the_bound_covers_when_days_differ():
    """A one-sided 95 % bound of the gap misses the truth (0) about once in twenty, although rows of a day move together."""
    random, missed, runs = np.random.default_rng(4), 0, 400
    times = np.repeat(np.arange(10) * DAY, 50)
    blocks = time_blocks(times, 0.0, 10 * DAY)
    for _ in range(runs):
        chance = np.clip(np.repeat(0.3 + 0.1 * random.normal(size=10), 50), 0.02, 0.98)
        labels = (random.uniform(size=500) < chance).astype(np.float64)
        gap = mean_gap(labels, np.full(500, 0.3), blocks)
        missed += gap.value - gap.margin(0.95) > 0
    assert 0.02 <= missed / runs <= 0.09


def test_the_jackknife_agrees_with_the_plain_error_of_independent_rows():
    random = np.random.default_rng(5)
    times = np.sort(random.uniform(0, 30 * DAY, 4000))
    scores = random.uniform(size=4000)
    labels = (random.uniform(size=4000) < scores).astype(np.float64)
    found = skill(metrics_at(0.5)["brier_score"], labels, scores, time_blocks(times, 0.0, 30 * DAY))
    plain = np.std((scores - labels) ** 2) / np.sqrt(4000) / (labels.mean() * (1 - labels.mean()))
    assert found.error == pytest.approx(plain, rel=0.4)
