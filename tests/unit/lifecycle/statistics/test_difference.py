"""Bounds of a difference of means and the sample-ratio test: reference, properties, and error rates under continuous peeking."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from include.lifecycle.statistics.difference import (
    FEWEST_SAMPLES,
    Arm,
    arm_of,
    mean_difference_bounds,
    means_by_unit,
    sample_ratio_p_value,
)

ARMS = st.builds(Arm, samples=st.integers(100, 50_000), mean=st.floats(-10, 10), variance=st.floats(0.001, 100))


@given(ARMS, ARMS, st.floats(0.001, 0.2), st.integers(200, 100_000))
def test_the_bounds_hold_the_estimate_and_are_wider_than_the_fixed_sample_interval(
    first: Arm, second: Arm, alpha: float, best_at: int
) -> None:
    lower, upper = mean_difference_bounds(first, second, alpha, best_at)
    deviations = [math.sqrt(arm.variance) for arm in (first, second)]
    welch = stats.ttest_ind_from_stats(
        first.mean, deviations[0], first.samples, second.mean, deviations[1], second.samples, equal_var=False
    ).pvalue
    assert lower < first.mean - second.mean < upper
    assert (upper + lower) / 2 == pytest.approx(first.mean - second.mean, abs=1e-9)
    assert not (lower > 0 or upper < 0) or welch < alpha  # whoever may peek needs more than who looks once


@given(ARMS, ARMS, st.floats(0.001, 0.2))
def test_swapping_the_arms_turns_the_sign(first: Arm, second: Arm, alpha: float) -> None:
    one, other = mean_difference_bounds(first, second, alpha, 5000), mean_difference_bounds(second, first, alpha, 5000)
    assert one == pytest.approx((-other[1], -other[0]))


@given(ARMS, st.floats(0.01, 0.2))
def test_more_doubt_gives_wider_bounds(arm: Arm, alpha: float) -> None:
    wide, narrow = (np.diff(mean_difference_bounds(arm, arm, level, 5000))[0] for level in (alpha / 2, alpha))
    assert wide > narrow


def test_the_bounds_are_tightest_where_they_were_tuned() -> None:
    arm = Arm(samples=1000, mean=0.0, variance=1.0)
    widths = {best: np.diff(mean_difference_bounds(arm, arm, 0.05, best))[0] for best in (200, 2000, 20_000)}
    assert min(widths, key=widths.__getitem__) == 2000
    assert widths[2000] / 2 == pytest.approx(3.05 * math.sqrt(2 / 1000), rel=0.02)  # 3.05 standard errors in place of 1.96


def test_few_or_constant_samples_say_nothing() -> None:
    few, many = Arm(samples=FEWEST_SAMPLES - 1, mean=0.0, variance=1.0), Arm(samples=9000, mean=1.0, variance=1.0)
    assert mean_difference_bounds(few, many, 0.05, 1000) == (-math.inf, math.inf)
    sure = Arm(samples=500, mean=1.0, variance=0.0)
    assert mean_difference_bounds(sure, sure, 0.05, 1000) == (-math.inf, math.inf)


@pytest.mark.parametrize(("alpha", "best_at"), [(0.0, 10), (1.0, 10), (0.05, 0)])
def test_bad_levels_are_refused(alpha: float, best_at: float) -> None:
    with pytest.raises(ValueError, match="alpha must be between 0 and 1 and best_at positive"):
        mean_difference_bounds(Arm(samples=200, mean=0, variance=1), Arm(samples=200, mean=0, variance=1), alpha, best_at)


def test_arm_and_units_agree_with_numpy() -> None:
    values, codes = np.array([1.0, 0.0, 1.0, 5.0]), np.array([0, 0, 2, 2])
    means = means_by_unit(values, codes, 4)
    assert means[[0, 2]].tolist() == [0.5, 3.0]
    assert np.isnan(means[[1, 3]]).all()
    assert arm_of(values) == Arm(samples=4, mean=1.75, variance=float(np.var(values, ddof=1)))
    assert math.isnan(arm_of(np.empty(0)).mean)


def peeked(rng: np.random.Generator, values: np.ndarray, challenger: np.ndarray, looks: np.ndarray, alpha: float, split: float):
    """Whether a difference was found at any of the looks (numbers of samples so far), upwards or downwards."""
    for look in looks:
        arms = arm_of(values[:look][challenger[:look]]), arm_of(values[:look][~challenger[:look]])
        lower, upper = mean_difference_bounds(*arms, alpha, 1000 / split)
        if lower > 0 or upper < 0:
            return True
    return False


STREAMS = {
    "half": lambda rng, n: (rng.random(n) < 0.5).astype(float),
    "rare": lambda rng, n: (rng.random(n) < 0.01).astype(float),
    "nearly always": lambda rng, n: (rng.random(n) < 0.99).astype(float),
    "skewed money": lambda rng, n: (rng.random(n) < 0.05) * np.exp(rng.normal(0, 1, n)),
}


@pytest.mark.parametrize("split", [0.1, 0.5])
@pytest.mark.parametrize("stream", STREAMS)
def test_equal_arms_are_hardly_ever_told_apart_however_often_one_peeks(stream: str, split: float) -> None:
    rng, alpha, tries, size = np.random.default_rng(20130101), 0.05, 150, 12_000
    looks = np.unique(np.geomspace(500, size, 40).astype(int))
    wrong = sum(peeked(rng, STREAMS[stream](rng, size), rng.random(size) < split, looks, alpha, split) for _ in range(tries))
    assert stats.binomtest(wrong, tries, alpha, alternative="greater").pvalue > 0.01, f"{wrong} of {tries}"


def clustered(rng: np.random.Generator, rows: int, users: int) -> tuple[np.ndarray, np.ndarray]:
    """Users who come back, each with an own rate of success: user of each row, outcome of each row."""
    rate, weight = rng.beta(1, 1, users), rng.exponential(1, users)
    who = rng.choice(users, rows, p=weight / weight.sum())
    return who, (rng.random(rows) < rate[who]).astype(float)


def peeked_rows(rng: np.random.Generator, by_user: bool) -> bool:
    """An A/A test of 1,500 returning users, looked at every 1,000 rows: by users' means, or wrongly by single rows."""
    who, outcome = clustered(rng, 20_000, 1500)
    arm = rng.random(1500) < 0.5
    for look in range(1000, 20_001, 1000):
        codes, values = who[:look], outcome[:look]
        if by_user:
            means = means_by_unit(values, codes, 1500)
            parts = means[arm & np.isfinite(means)], means[~arm & np.isfinite(means)]
        else:
            parts = values[arm[codes]], values[~arm[codes]]
        lower, upper = mean_difference_bounds(arm_of(parts[0]), arm_of(parts[1]), 0.05, 2000)
        if lower > 0 or upper < 0:
            return True
    return False


def test_returning_users_do_not_inflate_the_error_when_the_user_is_the_sample() -> None:
    rng, tries = np.random.default_rng(7), 200
    by_user = sum(peeked_rows(rng, True) for _ in range(tries))
    by_row = sum(peeked_rows(rng, False) for _ in range(tries))
    assert stats.binomtest(by_user, tries, 0.05, alternative="greater").pvalue > 0.01, f"{by_user} of {tries}"
    assert by_row > 3 * max(by_user, 10)  # what counting rows would have done


def test_a_real_difference_is_found() -> None:
    rng, found = np.random.default_rng(3), 0
    for _ in range(50):
        challenger = rng.random(20_000) < 0.5
        values = (rng.random(20_000) < np.where(challenger, 0.85, 0.80)).astype(float)
        found += peeked(rng, values, challenger, np.arange(2000, 20_001, 1000), 0.05, 0.5)
    assert found >= 49


@settings(max_examples=50)
@given(st.integers(0, 5000), st.integers(0, 5000), st.floats(0.05, 0.95))
def test_the_ratio_test_does_not_mind_the_order_of_the_arms(one: int, other: int, share: float) -> None:
    assert sample_ratio_p_value([one, other], [share, 1 - share]) == pytest.approx(
        sample_ratio_p_value([other, one], [1 - share, share])
    )


def test_the_ratio_test_is_more_careful_than_the_chi_square_of_one_look() -> None:
    for counts in ([5100, 4900], [5300, 4700], [1200, 8800], [900, 9100]):
        share = 0.5 if counts[0] > 4000 else 0.1
        once = stats.chisquare(counts, [share * 10_000, (1 - share) * 10_000]).pvalue
        assert sample_ratio_p_value(counts, [share, 1 - share]) >= once
    assert sample_ratio_p_value([0, 0], [0.5, 0.5]) == 1.0
    assert sample_ratio_p_value([5500, 4500], [0.5, 0.5]) < 1e-6


def test_a_fair_split_is_hardly_ever_called_broken_however_often_one_peeks() -> None:
    rng, tries, level = np.random.default_rng(11), 400, 0.05
    wrong = 0
    for _ in range(tries):
        hits = np.cumsum(rng.random(20_000) < 0.1)[99::200]
        wrong += any(
            sample_ratio_p_value([int(one), 100 + 200 * at - int(one)], [0.1, 0.9]) < level for at, one in enumerate(hits)
        )
    assert stats.binomtest(wrong, tries, level, alternative="greater").pvalue > 0.01, f"{wrong} of {tries}"


def test_a_broken_split_is_found() -> None:
    rng = np.random.default_rng(12)
    hits = int((rng.random(20_000) < 0.085).sum())  # 15 % of the challenger's users got lost
    assert sample_ratio_p_value([hits, 20_000 - hits], [0.1, 0.9]) < 0.001


@pytest.mark.parametrize(
    ("counts", "planned"), [([1], [0.5, 0.5]), ([-1, 2], [0.5, 0.5]), ([1, 2], [0.0, 1.0]), ([1, 2], [0.5, 0.4])]
)
def test_impossible_splits_are_refused(counts: list[int], planned: list[float]) -> None:
    with pytest.raises(ValueError, match="shares"):
        sample_ratio_p_value(counts, planned)
