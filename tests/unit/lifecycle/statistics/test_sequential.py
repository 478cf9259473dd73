"""Confidence sequences: they must hold at every look at once, at any size, and be as tight as their formula says."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.statistics.sequential import proportion_bounds, proportion_interval

COUNTS = st.integers(0, 10**7).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))
LEVELS = st.floats(1e-6, 0.5)


@given(COUNTS, LEVELS)
def test_bounds_hold_the_observed_share(counts, alpha):
    hits, total = counts
    lower, upper = proportion_interval(hits, total, alpha)
    share = hits / total if total else 0.5
    assert 0 <= lower <= share <= upper <= 1


@given(COUNTS, LEVELS)
def test_misses_mirror_hits(counts, alpha):
    hits, total = counts
    lower, upper = proportion_interval(hits, total, alpha)
    mirrored_lower, mirrored_upper = proportion_interval(total - hits, total, alpha)
    assert lower == pytest.approx(1 - mirrored_upper, abs=1e-9)
    assert upper == pytest.approx(1 - mirrored_lower, abs=1e-9)


@given(COUNTS, st.floats(1e-6, 0.2))
def test_more_confidence_is_wider(counts, alpha):
    strict, loose = (proportion_interval(*counts, level) for level in (alpha / 2, alpha))
    assert strict[0] <= loose[0]
    assert strict[1] >= loose[1]


def test_no_trials_say_nothing():
    assert proportion_interval(0, 0, 0.05) == (0.0, 1.0)


def test_bounds_solve_the_mixture_equation():
    hits, total, alpha = 37, 400, 0.01

    def log_martingale(p):
        beta = [math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b) for a, b in ((hits + 0.5, total - hits + 0.5), (0.5, 0.5))]
        return beta[0] - beta[1] - hits * math.log(p) - (total - hits) * math.log1p(-p)

    for bound in proportion_interval(hits, total, alpha):
        assert log_martingale(bound) == pytest.approx(-math.log(alpha), rel=1e-9)


def test_arrays_give_what_single_counts_give():
    hits, total = np.array([[0, 5], [10, 300]]), np.array([[10, 10], [10, 10_000]])
    lower, upper = proportion_bounds(hits, total, 0.02)
    for index in np.ndindex(2, 2):
        assert (lower[index], upper[index]) == proportion_interval(int(hits[index]), int(total[index]), 0.02)


def test_huge_counts_stay_tight_and_ordered():
    lower, upper = proportion_interval(10**8, 10**9, 0.001)
    assert 0.0999 < lower < 0.1 < upper < 0.1001


@pytest.mark.parametrize(("hits", "total", "alpha"), [(2, 1, 0.05), (-1, 1, 0.05), (0, 1, 0.0), (0, 1, 1.0)])
def test_nonsense_is_refused(hits, total, alpha):
    with pytest.raises(ValueError, match=r"alpha|counts"):
        proportion_interval(hits, total, alpha)


@pytest.mark.parametrize("truth", [0.1, 0.05, 0.01])
def test_peeking_after_every_request_keeps_the_error_rate(truth):
    """Independent streams, a look after each of 3,000 requests: streams that ever exclude the truth stay below alpha."""
    alpha, streams, length = 0.05, 2_000, 3_000
    draws = np.random.default_rng(7).random((streams, length)) < truth
    hits, total = np.cumsum(draws, axis=1), np.arange(1, length + 1)
    excluded_low = _ever_above(hits, total, truth, alpha)
    error = math.sqrt(alpha * (1 - alpha) / streams)
    assert excluded_low.mean() <= alpha + 3 * error


def _ever_above(hits, total, truth, alpha):
    """Whether 1/M_n(truth) ever falls to alpha: the truth is outside the bounds at that look (exact, without root finding)."""
    misses = total - hits
    table = np.array([math.lgamma(k + 0.5) for k in range(total[-1] + 1)])
    whole = np.array([math.lgamma(k + 1.0) for k in range(total[-1] + 1)])
    mixture = table[hits] + table[misses] - whole[total] - math.log(math.pi)
    return (mixture - hits * math.log(truth) - misses * math.log1p(-truth) >= -math.log(alpha)).any(axis=1)


def test_the_bounds_themselves_agree_with_the_martingale():
    truth, alpha = 0.1, 0.05
    draws = np.random.default_rng(3).random((40, 400)) < truth
    hits, total = np.cumsum(draws, axis=1), np.broadcast_to(np.arange(1, 401), (40, 400))
    lower, upper = proportion_bounds(hits, total, alpha)
    outside = ((lower > truth) | (upper < truth)).any(axis=1)
    assert (outside == _ever_above(hits, np.arange(1, 401), truth, alpha)).all()
