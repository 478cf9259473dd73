"""Null thresholds: the budget's formula, how windows are drawn, and by simulation that the budget is kept."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.statistics.distances import NumericReference
from include.lifecycle.statistics.null import (
    QUARTER,
    block_length,
    draw_windows,
    false_alarm_level,
    independent_windows,
    null_threshold,
)

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@given(st.floats(0.01, 5), st.integers(1, 200), st.integers(1, 14))
def test_levels_of_all_tests_sum_to_the_budget(budget, tests, days):
    window = timedelta(days=days)
    level = false_alarm_level(budget, window, tests)
    assert 0 < level <= 0.5
    if level < 0.5:
        assert level * tests * (QUARTER / window) == pytest.approx(budget)


@pytest.mark.parametrize(("tests", "window"), [(0, DAY), (3, timedelta(0))])
def test_no_test_or_no_window_is_refused(tests, window):
    with pytest.raises(ValueError, match="at least one test"):
        false_alarm_level(1, window, tests)


@pytest.mark.parametrize(("window", "block"), [(7 * DAY, DAY), (DAY, DAY), (6 * HOUR, HOUR), (HOUR / 4, HOUR / 4)])
def test_blocks_are_days_or_hours(window, block):
    assert block_length(window) == block


def test_a_window_is_a_run_of_neighbouring_days():
    times = np.repeat(np.arange(30) * 86400.0, 50) + np.tile(np.arange(50.0), 30)
    drawn = draw_windows(times, 7 * DAY, rows=10_000, draws=40, seed=1)
    assert drawn.disjoint == pytest.approx(30 / 7)
    for start, rows in zip(drawn.starts, drawn.rows, strict=True):
        assert {int(times[row] // 86400) for row in rows} == {(start + step) % 30 for step in range(7)}


def test_windows_are_capped_without_replacement_and_lengthened_when_nearly_empty():
    times = np.sort(np.random.default_rng(1).uniform(0, 20 * 86400, 100))
    for rows in draw_windows(times, DAY, rows=200, draws=30, seed=2).rows:
        assert rows.size >= 30
        assert np.unique(rows).size == rows.size
    assert {rows.size for rows in draw_windows(times, 19 * DAY, rows=40, draws=10, seed=2).rows} == {40}


def test_draws_repeat_by_seed():
    times = np.sort(np.random.default_rng(1).uniform(0, 20 * 86400, 500))
    first, second = (draw_windows(times, DAY, rows=20, draws=5, seed=7) for _ in range(2))
    assert all((left == right).all() for left, right in zip(first.rows, second.rows, strict=True))


@given(st.lists(st.floats(0, 5), min_size=20, max_size=60), st.floats(1e-5, 0.2), st.floats(2, 500))
def test_a_smaller_level_never_lowers_the_threshold(distances, level, independent):
    found = np.array(distances)
    strict, lax = null_threshold(found, level / 10, independent), null_threshold(found, level, independent)
    assert strict >= lax - 1e-9
    assert strict >= np.quantile(found, 1 - level) - 1e-9


def test_correlated_days_count_less():
    random = np.random.default_rng(3)
    levels = np.cumsum(random.normal(size=60))
    times = np.repeat(np.arange(60) * 86400.0, 20)
    drawn = draw_windows(times, DAY, rows=20, draws=300, seed=1)
    smooth = np.array([levels[start] for start in drawn.starts])
    rough = np.array([random.normal(size=60)[start] for start in drawn.starts])
    assert independent_windows(smooth, drawn) < independent_windows(rough, drawn)


def _alarms(correlation: float, *, models: int, seed: int) -> float:
    """Mean number of daily windows a quarter above a budget of one, when nothing but the days' own level varies."""
    random = np.random.default_rng(seed)
    total = 0
    for model in range(models):
        noise = random.normal(size=300) * 0.5 * np.sqrt(1 - correlation**2)
        level = np.zeros(300)
        for day in range(1, 300):
            level[day] = correlation * level[day - 1] + noise[day]
        rows = level[:, None] + random.normal(size=(300, 40))
        reference, holdout = NumericReference.of(rows[:180].ravel()), rows[180:209].ravel()
        drawn = draw_windows(np.repeat(np.arange(29) * 86400.0, 40), DAY, rows=200, draws=150, seed=model)
        distances = np.array([reference.distance(holdout[chosen]) for chosen in drawn.rows])
        bar = null_threshold(distances, false_alarm_level(1, DAY, 1), independent_windows(distances, drawn))
        total += sum(reference.distance(day) > bar for day in rows[209:300])
    return total / models


@pytest.mark.parametrize(("correlation", "allowed"), [(0.0, 1.2), (0.8, 1.6)])
def test_the_false_alarm_budget_is_kept(correlation, allowed):
    """Budget 1. At a day-to-day correlation of 0.8 the 29 days hold three independent windows; a little more is spent."""
    assert _alarms(correlation, models=50, seed=5) <= allowed
