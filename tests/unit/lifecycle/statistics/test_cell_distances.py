"""The methods of `monitoring.drift` against scipy and against Evidently on the same two samples (to 1e-6)."""

from __future__ import annotations

import math

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chi2_contingency, ks_2samp

from include.lifecycle.statistics.distances import (
    CELL_DISTANCES,
    NumericReference,
    chi_square,
    cramers_v,
    kolmogorov_smirnov,
    numeric_distance,
    population_stability,
)

counts = arrays(np.int64, 6, elements=st.integers(0, 1000)).filter(lambda found: found.sum() > 0)
numbers = arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e4, 1e4).map(lambda value: round(value, 1)))


@pytest.fixture(scope="module")
def pair():
    random = np.random.default_rng(5)
    return random.normal(0, 1, 5000), random.normal(0.3, 1.2, 3000)


@given(numbers, numbers)
@settings(max_examples=200)
def test_ks_is_scipys_statistic(reference, current):
    assert kolmogorov_smirnov(reference, current) == pytest.approx(ks_2samp(reference, current).statistic, abs=1e-12)


def test_ks_is_the_statistic_behind_evidentlys_p_value(pair):
    """Evidently's `ks` answers with a p-value, which tells rows, not size; it follows from our statistic."""
    from evidently.legacy.calculations.stattests.ks_stattest import ks_stat_test
    from scipy.stats import kstwo

    reference, current = pair
    expected = ks_stat_test.func(pandas.Series(reference), pandas.Series(current), "num", 0.05)[0]
    assert expected == pytest.approx(ks_2samp(reference, current).pvalue, rel=1e-6)
    found = kolmogorov_smirnov(reference, current)
    rows = round(reference.size * current.size / (reference.size + current.size))
    assert kstwo.sf(found, rows) == pytest.approx(expected, rel=1e-6)


def test_wasserstein_equals_evidentlys(pair):
    from evidently.legacy.calculations.stattests.wasserstein_distance_norm import wasserstein_stat_test

    reference, current = pair
    expected = wasserstein_stat_test.func(pandas.Series(reference), pandas.Series(current), "num", 0.1)[0]
    assert numeric_distance("wasserstein", reference, current) == pytest.approx(expected, abs=1e-6)


def evidently_tests():
    from evidently.legacy.calculations.stattests.jensenshannon import jensenshannon_stat_test
    from evidently.legacy.calculations.stattests.kl_div import kl_div_stat_test
    from evidently.legacy.calculations.stattests.psi import psi_stat_test

    return {"jensen_shannon": jensenshannon_stat_test, "kl_divergence": kl_div_stat_test, "psi": psi_stat_test}


def numerical():
    from evidently.legacy.core import ColumnType

    return ColumnType.Numerical


@pytest.mark.parametrize("method", ["jensen_shannon", "kl_divergence", "psi"])
def test_categories_equal_evidentlys(method):
    reference, current = {"a": 20_000, "b": 900, "c": 1, "d": 300}, {"a": 700, "b": 200, "e": 100}
    long = [pandas.Series(np.repeat(list(side), list(side.values()))) for side in (reference, current)]
    names = sorted(reference.keys() | current.keys())
    left, right = (np.array([side.get(name, 0) for name in names]) for side in (reference, current))
    expected = evidently_tests()[method].func(*long, "cat", 0.1)[0]
    assert CELL_DISTANCES[method](left, right) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("method", ["jensen_shannon", "kl_divergence", "psi"])
def test_numbers_of_few_values_equal_evidentlys(method):
    """Where both count value by value, nothing is left to binning."""
    random = np.random.default_rng(3)
    reference, current = random.binomial(12, 0.4, 8000).astype(float), random.binomial(12, 0.45, 3000).astype(float)
    reference[:13] = np.arange(13.0)
    long = pandas.Series(reference), pandas.Series(current)
    expected = evidently_tests()[method].func(*long, numerical(), 0.1)[0]
    assert numeric_distance(method, reference, current) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("method", ["jensen_shannon", "kl_divergence", "psi"])
def test_over_evidentlys_own_bins_the_formula_is_evidentlys(method, pair):
    reference, current = pair
    bins = np.histogram_bin_edges(np.concatenate(pair), bins="sturges")
    cells = [np.histogram(side, bins)[0] for side in (reference, current)]
    expected = evidently_tests()[method].func(pandas.Series(reference), pandas.Series(current), numerical(), 0.1)[0]
    assert CELL_DISTANCES[method](*cells) == pytest.approx(expected, abs=1e-6)


@given(counts, counts)
@settings(max_examples=200)
def test_chi_square_is_scipys(first, second):
    statistic, freedom = chi_square(first, second)
    some = (first > 0) | (second > 0)
    expected = chi2_contingency(np.array([first[some], second[some]]), correction=False)
    assert (statistic, freedom) == (pytest.approx(expected.statistic, rel=1e-9, abs=1e-9), expected.dof)


@given(counts, counts, st.integers(1, 50))
def test_cramers_v_is_the_chi_squares_of_equally_large_sides_whatever_the_rows(first, second, times):
    found = cramers_v(first, second)
    assert 0 <= found <= 1 + 1e-12
    assert found == pytest.approx(cramers_v(second, first), abs=1e-12)
    assert found == pytest.approx(cramers_v(first * times, second), abs=1e-9)
    sides = first * int(second.sum()), second * int(first.sum())  # the same shares, as many rows
    assert found == pytest.approx(math.sqrt(chi_square(*sides)[0] / (2 * int(sides[0].sum()))), abs=1e-6)
    assert cramers_v(np.append(first, 0 * second), np.append(0 * first, second)) == pytest.approx(1)


@given(counts, counts)
def test_psi_is_symmetric_finite_and_zero_from_itself(first, second):
    assert population_stability(first, first * 7) == pytest.approx(0, abs=1e-12)
    assert 0 <= population_stability(first, second) < math.inf
    assert population_stability(first, second) == pytest.approx(population_stability(second, first), rel=1e-9, abs=1e-12)


def test_an_empty_side_is_nan():
    empty, some = np.array([0, 0]), np.array([1, 2])
    assert math.isnan(population_stability(empty, some))
    assert math.isnan(cramers_v(some, empty))
    assert math.isnan(chi_square(some, empty)[0])
    assert math.isnan(NumericReference.of(np.array([1.0])).ks(np.array([np.nan])))
    assert {math.isnan(numeric_distance(name, np.array([np.nan]), np.array([1.0]))) for name in ("ks", "psi", "wasserstein")} == {
        True
    }
