"""Distances against scipy, and what every distance must keep."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from include.lifecycle.statistics.distances import (
    NumericReference,
    category_distance,
    jensen_shannon,
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
