"""Robust distances against their formulas and reference implementations, and where they degenerate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from include.lifecycle.data.outliers import MINIMUM_VALUES, distances, outlier_finding
from include.lifecycle.sections.data_checks import OutliersSection
from include.lifecycle.verdicts import Outcome

RULE = OutliersSection(method="robust_z", threshold=3.5, max_share=0.1, quarantine_beyond=None)


def test_robust_z_is_the_published_one():
    values = np.random.default_rng(1).normal(10, 3, 999)
    mad = stats.median_abs_deviation(values)
    np.testing.assert_allclose(distances(values, "robust_z"), 0.6745 * np.abs(values - np.median(values)) / mad, rtol=1e-12)


def test_the_published_example_finds_its_outliers():
    values = np.array([2.1, 2.6, 2.4, 2.5, 2.3, 2.1, 2.3, 2.6, 8.2, 8.3])  # Iglewicz and Hoaglin's section 3.3
    assert np.flatnonzero(distances(values, "robust_z") > 3.5).tolist() == [8, 9]


def test_normal_values_lie_beyond_the_threshold_as_often_as_theory_says():
    values = np.random.default_rng(2).normal(size=400_000)
    share = float((distances(values, "robust_z") > 3.5).mean())
    assert share == pytest.approx(2 * stats.norm.sf(3.5), rel=0.15)


def test_tukeys_fences_are_scipys_quartiles():
    values = np.random.default_rng(3).lognormal(size=2001)
    first, third = np.quantile(values, [0.25, 0.75])
    outside = (values < first - 1.5 * (third - first)) | (values > third + 1.5 * (third - first))
    np.testing.assert_array_equal(distances(values, "iqr") > 1.5, outside)
    assert stats.iqr(values) == pytest.approx(third - first)


@pytest.mark.parametrize("method", ["robust_z", "iqr"])
def test_where_most_values_are_equal_the_rest_still_has_a_distance(method):
    rain = np.zeros(1000)
    rain[:50] = np.linspace(0.01, 1.0, 50)
    found = distances(rain, method)
    assert np.isfinite(found).all()
    assert found[50:].max() < 0.1
    assert found[49] > 3.5
    assert distances(np.full(100, 7.0), method).tolist() == [0.0] * 100


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.floats(0.01, 100), st.floats(-1e3, 1e3))
def test_distances_do_not_depend_on_unit_and_origin(values, scale, shift):
    numbers = np.round(np.array(values), 3)
    for method in ("robust_z", "iqr"):
        one, other = distances(numbers, method), distances(numbers * scale + shift, method)
        both = np.ptp(numbers) * scale > 1e-3 * (1 + abs(shift))  # below, rounding decides
        if both:
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def test_nulls_and_infinities_have_no_distance():
    found = distances(np.array([np.nan, np.inf, 1.0, 2.0]), "robust_z")
    assert np.isnan(found).tolist() == [True, True, False, False]


def test_the_share_decides_and_few_values_are_inconclusive():
    values = np.concatenate([np.random.default_rng(4).normal(size=90), np.full(10, 50.0)])
    at_limit = outlier_finding("age", values, distances(values, "robust_z"), RULE)
    assert (at_limit.outcome, at_limit.unexpected, at_limit.examples) == (Outcome.PASS, 10, [50.0] * 5)
    above = outlier_finding("age", values[1:], distances(values[1:], "robust_z"), RULE)
    assert above.outcome is Outcome.FAIL
    assert "10 of 99 values, allowed 10.00%" in above.detail
    few = values[: MINIMUM_VALUES - 1]
    told = outlier_finding("age", few, distances(few, "robust_z"), RULE)
    assert (told.outcome, told.warning) == (Outcome.INCONCLUSIVE, True)
