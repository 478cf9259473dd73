"""Distances against scipy, and what every distance must keep."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy, wasserstein_distance

from include.lifecycle.statistics.distances import (
    NumericReference,
    QuantileBins,
    category_distance,
    jensen_shannon,
    kl_divergence,
    wasserstein_normed,
)

values = st.floats(-1e4, 1e4, allow_nan=False).map(lambda value: round(value, 3))
samples = arrays(np.float64, st.integers(1, 40), elements=values)
counts = arrays(np.int64, 6, elements=st.integers(0, 1000)).filter(lambda found: found.sum() > 0)


@given(samples, samples)
def test_wasserstein_equals_scipys_over_the_references_spread(reference, current):
    expected = wasserstein_distance(reference, current) / max(reference.std(), 1e-3)
    assert wasserstein_normed(reference, current) == pytest.approx(expected, rel=1e-7, abs=1e-7)


@given(samples, samples)
def test_wasserstein_without_the_norm_is_symmetric(first, second):
    forth = wasserstein_normed(first, second) * max(first.std(), 1e-3)
    back = wasserstein_normed(second, first) * max(second.std(), 1e-3)
    assert forth >= 0
    assert forth == pytest.approx(back, rel=1e-7, abs=1e-7)


@given(samples)
def test_a_sample_is_at_no_distance_from_itself(sample):
    assert wasserstein_normed(sample, sample) == pytest.approx(0, abs=1e-9)


@given(samples, st.floats(0.01, 100), st.floats(-1000, 1000))
def test_wasserstein_ignores_unit_and_origin(sample, scale, shift):
    current = sample + 1.0
    moved = wasserstein_normed(scale * sample + shift, scale * current + shift)
    if sample.std() > 1e-3 and scale * sample.std() > 1e-3:
        assert moved == pytest.approx(wasserstein_normed(sample, current), rel=1e-6, abs=1e-6)


def test_a_shift_by_one_deviation_is_one():
    sample = np.random.default_rng(1).normal(1e6, 3.0, 5000)
    assert wasserstein_normed(sample, sample + sample.std()) == pytest.approx(1.0)


def test_not_finite_values_are_left_out_and_none_left_is_nan():
    reference = np.array([1.0, 2.0, 3.0, np.nan])
    assert wasserstein_normed(reference, np.array([1.0, 2.0, 3.0, np.inf])) == pytest.approx(0, abs=1e-12)
    assert math.isnan(wasserstein_normed(reference, np.array([np.nan])))
    with pytest.raises(ValueError, match="at least one finite value"):
        NumericReference.of(np.array([np.nan]))


def test_one_grid_serves_many_windows():
    random = np.random.default_rng(2)
    reference = NumericReference.of(random.normal(size=500))
    grid = np.unique(random.normal(size=50))
    on_grid = reference.on_grid(grid)
    for _ in range(5):
        drawn = random.integers(0, grid.size, 80)
        expected = reference.distance(grid[drawn])
        assert on_grid(np.bincount(drawn, minlength=grid.size)) == pytest.approx(expected, abs=1e-12)


@given(counts, counts)
@settings(max_examples=200)
def test_jensen_shannon_equals_scipys_and_is_a_bounded_symmetric_distance(first, second):
    found = jensen_shannon(first, second)
    assert found == pytest.approx(jensenshannon(first, second), abs=1e-7)
    assert found == pytest.approx(jensen_shannon(second, first), abs=1e-9)
    assert 0 <= found <= math.sqrt(math.log(2)) + 1e-12
    assert jensen_shannon(first, first * 3) == pytest.approx(0, abs=1e-7)


def test_categories_that_one_side_lacks_count():
    assert category_distance({"a": 5}, {"b": 7}) == pytest.approx(math.sqrt(math.log(2)))
    assert category_distance({"a": 1, "b": 1}, {"a": 10, "b": 10}) == 0
    assert math.isnan(category_distance({"a": 1}, {}))
    assert category_distance({"a": 9, "b": 1}, {"a": 5, "b": 5}, "kl_divergence") == pytest.approx(
        entropy([0.9, 0.1], [0.5, 0.5])
    )
    assert math.isnan(category_distance({"a": 1}, {}, "kl_divergence"))


@given(counts, counts)
@settings(max_examples=200)
def test_kl_equals_scipys_after_zeros_are_filled_as_evidently_does(first, second):
    some = (first > 0) | (second > 0)
    shares = []
    for side in (first[some] / first.sum(), second[some] / second.sum()):
        smallest = side[side > 0].min()
        shares.append(np.where(side > 0, side, smallest / 10**6 if smallest <= 0.0001 else 0.0001))
    assert kl_divergence(first, second) == pytest.approx(entropy(*shares), rel=1e-9, abs=1e-12)


@given(counts, counts, st.integers(1, 50))
def test_kl_is_finite_never_negative_and_zero_from_itself(first, second, times):
    assert 0 <= kl_divergence(first, second) < math.inf
    assert kl_divergence(first, first * times) == pytest.approx(0, abs=1e-9)
    apart = kl_divergence(np.concatenate((first, 0 * second)), np.concatenate((0 * first, second)))
    assert 1 < apart < math.inf


def test_kl_by_hand():
    assert kl_divergence(np.array([3, 1]), np.array([1, 1])) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert kl_divergence(np.array([1, 1]), np.array([3, 1])) == pytest.approx(0.5 * math.log(4 / 3))  # not symmetric
    assert kl_divergence(np.array([5, 5, 0]), np.array([5, 5, 0])) == 0
    assert math.isnan(kl_divergence(np.array([0, 0]), np.array([1, 1])))


def test_kl_of_categories_equals_evidentlys():
    import pandas
    from evidently.legacy.calculations.stattests.kl_div import kl_div_stat_test

    reference, current = {"a": 20_000, "b": 900, "c": 1, "d": 300}, {"a": 700, "b": 200, "e": 100}
    long = [pandas.Series(np.repeat(list(side), list(side.values()))) for side in (reference, current)]
    expected = kl_div_stat_test.func(*long, "cat", 0.1)[0]
    assert category_distance(reference, current, "kl_divergence") == pytest.approx(expected, rel=1e-9)


@given(samples, samples)
def test_kl_over_quantile_bins_loses_no_value(reference, current):
    bins = QuantileBins.of(reference)
    assert (np.diff(bins.edges) > 0).all()
    assert bins.counts.sum() == reference.size
    assert (bins.counts[0], bins.counts[-1]) == (0, 0)
    assert bins.distance(reference) == pytest.approx(0, abs=1e-9)
    assert 0 <= bins.distance(current) < math.inf
    assert bins.distance(reference + np.ptp(reference) + 1) > 1  # all beyond the ends


@pytest.mark.parametrize("wild", [1e300, -1e300])
def test_one_wild_value_does_not_move_the_other_bins(wild):
    sample, current = np.random.default_rng(3).normal(size=(2, 4000))
    bins, with_wild = QuantileBins.of(sample), QuantileBins.of(np.append(sample, wild))
    assert with_wild.distance(current) == pytest.approx(bins.distance(current), abs=0.005)
    assert bins.distance(np.append(current, wild)) == pytest.approx(bins.distance(current), abs=0.005)
    assert bins.distance(current + 0.5) == pytest.approx(0.5**2 / 2, abs=0.03)  # of two normal distributions


def test_bins_of_few_values_tell_them_apart_and_not_finite_ones_are_left_out():
    constant, rare = QuantileBins.of(np.full(50, 7.0)), QuantileBins.of(np.array([0.0] * 3 + [1.0] * 97))
    assert min(constant.distance(np.full(50, 6.9)), constant.distance(np.full(50, 7.1))) > 5
    assert constant.distance(np.array([7.0, np.nan, np.inf])) == pytest.approx(0)
    assert rare.distance(np.array([0.0, 1.0])) == pytest.approx(entropy([0.03, 0.97], [0.5, 0.5]))
    assert math.isnan(constant.distance(np.array([np.nan])))
    with pytest.raises(ValueError, match="at least one finite value"):
        QuantileBins.of(np.array([np.nan]))
