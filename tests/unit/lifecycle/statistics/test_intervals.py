"""Intervals of proportions and of block-resampled statistics: against references, by properties, and by their coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, bootstrap

from include.lifecycle.statistics.intervals import (
    MINIMUM_BLOCKS,
    block_bootstrap_difference,
    block_bootstrap_mean,
    block_codes,
    block_sums,
    clopper_pearson,
    plain_number,
    quantile_interval,
    resample_weights,
    resampled_interval,
    wilson,
)

COUNTS = st.integers(1, 5000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))


@given(COUNTS, st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_proportions_agree_with_scipy(counts: tuple[int, int], confidence: float) -> None:
    successes, trials = counts
    for method, own in (("wilson", wilson), ("exact", clopper_pearson)):
        wanted = binomtest(successes, trials).proportion_ci(confidence, method)
        found = own(successes, trials, confidence)
        assert found.lower == pytest.approx(wanted.low, abs=1e-9)
        assert found.upper == pytest.approx(wanted.high, abs=1e-9)


@given(COUNTS)
def test_wilson_mirrors_and_narrows(counts: tuple[int, int]) -> None:
    successes, trials = counts
    found, mirror = wilson(successes, trials), wilson(trials - successes, trials)
    assert found.lower == pytest.approx(1 - mirror.upper, abs=1e-12)
    assert 0 <= found.lower <= found.estimate <= found.upper <= 1
    wider = wilson(successes, trials, 0.99)
    assert wider.lower <= found.lower + 1e-12
    assert wider.upper >= found.upper - 1e-12


def test_no_trials_is_no_knowledge() -> None:
    for interval in (wilson(0, 0), clopper_pearson(0, 0)):
        assert (interval.lower, interval.upper) == (0.0, 1.0)
        assert math.isnan(interval.estimate)
        assert interval.evidence()["estimate"] is None


@pytest.mark.parametrize("counts", [(-1, 3), (4, 3)])
def test_impossible_counts_are_refused(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="allowed are 0 <= successes <= trials"):
        wilson(*counts)


@pytest.mark.parametrize("trials", [20, 200])
def test_coverage_of_proportions_is_exact_by_summation(trials: int) -> None:
    """Coverage at p is a finite sum over all outcomes: no simulation noise."""
    outcomes = np.arange(trials + 1)
    bounds = {own: [own(int(k), trials) for k in outcomes] for own in (wilson, clopper_pearson)}
    for own, intervals in bounds.items():
        covers = [
            float(sum(binom.pmf(k, trials, p) for k, one in zip(outcomes, intervals, strict=True) if one.lower <= p <= one.upper))
            for p in np.linspace(0.02, 0.98, 49)
        ]
        if own is clopper_pearson:
            assert min(covers) >= 0.95 - 1e-9
        else:
            assert np.mean(covers) == pytest.approx(0.95, abs=0.012)
            assert min(covers) > 0.82


@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 5))
def test_weights_are_draws_of_blocks(blocks: int, resamples: int, seed: int) -> None:
    weights = resample_weights(blocks, resamples, seed)
    assert weights.shape == (resamples, blocks)
    assert (weights.sum(axis=1) == blocks).all()
    assert (weights == resample_weights(blocks, resamples, seed)).all()


def test_weighted_sums_are_what_copying_rows_gives() -> None:
    random = np.random.default_rng(3)
    codes, blocks = block_codes(random.choice(["mon", "tue", "wed"], 50))
    parts = random.normal(size=(50, 2))
    weights = resample_weights(blocks, 20, 1)
    fast = weights @ block_sums(parts, codes, blocks)
    slow = [
        np.concatenate([np.repeat(parts[codes == block], int(row[block]), axis=0) for block in range(blocks)]).sum(axis=0)
        for row in weights
    ]
    assert np.allclose(fast, slow)


def test_single_row_blocks_agree_with_scipys_bootstrap() -> None:
    values = np.random.default_rng(5).exponential(size=400)
    own = block_bootstrap_mean(values, np.arange(400), resamples=4000, confidence=0.95, seed=2)
    wanted = bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert own.lower == pytest.approx(wanted.low, abs=0.01)
    assert own.upper == pytest.approx(wanted.high, abs=0.01)


def test_pairs_stay_together() -> None:
    """Two models that share all their noise differ by exactly what they differ."""
    random = np.random.default_rng(9)
    old, days = random.normal(size=600), np.repeat(np.arange(20), 30)
    found = block_bootstrap_difference(old + 0.25, old, days, resamples=200, confidence=0.95, seed=1)
    assert (found.lower, found.upper) == (pytest.approx(0.25), pytest.approx(0.25))


@pytest.mark.parametrize("blocks", [8, 25])
def test_blocks_cover_where_single_rows_do_not(blocks: int) -> None:
    """Rows of one day share an effect; the true mean is 0. The expanded interval covers, resampling rows does not."""
    random = np.random.default_rng(blocks)
    rows, worlds = 40, 300
    days = np.repeat(np.arange(blocks), rows)
    covered = {"block": 0, "row": 0}
    for world in range(worlds):
        values = random.normal(size=blocks)[days] + random.normal(size=blocks * rows)
        for name, labels in (("block", days), ("row", np.arange(len(values)))):
            found = block_bootstrap_mean(values, labels, resamples=200, confidence=0.9, seed=world)
            covered[name] += found.lower <= 0 <= found.upper
    assert 0.85 <= covered["block"] / worlds <= 0.95
    assert covered["row"] / worlds < 0.5


def test_too_few_blocks_or_undefined_resamples_are_unknown() -> None:
    samples = np.random.default_rng(1).normal(size=200)
    assert resampled_interval(0.0, samples, MINIMUM_BLOCKS).known
    assert not resampled_interval(0.0, samples, MINIMUM_BLOCKS - 1).known
    assert not resampled_interval(math.nan, samples, 20).known
    samples[:11] = math.nan
    assert not resampled_interval(0.0, samples, 20).known
    samples[:9] = 0.0
    assert resampled_interval(0.0, samples, 20).known


def test_numbers_for_json() -> None:
    assert plain_number(math.inf) is None
    assert plain_number(1 / 3) == 0.333333


def test_no_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        resample_weights(0, 10, 1)


@pytest.mark.parametrize("count", [72, 73, 100, 400])
def test_ranks_of_a_quantile_are_scipys_binomial_ones(count: int) -> None:
    values = np.random.default_rng(count).permutation(np.arange(1.0, count + 1))
    found = quantile_interval(values, 0.95)
    assert found.lower == binom.ppf(0.025, count, 0.95)
    high = binom.ppf(0.975, count, 0.95) + 1
    assert (found.upper == high) if high <= count else math.isnan(found.upper)


def test_a_quantile_interval_covers_and_says_when_it_cannot() -> None:
    random, inside = np.random.default_rng(7), 0
    for _ in range(1000):
        found = quantile_interval(random.random(120), 0.95)
        inside += found.lower <= 0.95 <= found.upper
    assert inside >= 940  # never below nominal but for simulation error
    assert math.isnan(quantile_interval(random.random(60), 0.95).upper)
    assert not quantile_interval(np.array([]), 0.95).known
