"""Counts of windows: they add up in any order, lose no row, survive the disk, and measure what the rows measure."""

from __future__ import annotations

import itertools
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from include.lifecycle.errors import DataInvalidError
from include.lifecycle.monitoring.counting.arrays import count_categories, count_numbers, count_window
from include.lifecycle.monitoring.counting.counts import WindowCounts
from include.lifecycle.monitoring.counting.distances import ks_of_counts, wasserstein_of_counts
from include.lifecycle.monitoring.counting.scheme import CELLS, STORED_CELLS, quantile_edges, scheme_of
from include.lifecycle.monitoring.counting.store import counts_path, forget_windows, stored_windows
from include.lifecycle.monitoring.profile import PREDICTION
from include.lifecycle.statistics.distances import NumericReference
from include.lifecycle.storage import Storage
from tests.unit.lifecycle.monitoring.examples import MODEL, START, as_predictions, make_table

DAY = timedelta(days=1)
values = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1.0]))
samples = arrays(np.float64, st.integers(0, 60), elements=values)
finite = arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e4, 1e4).map(lambda value: round(value, 2)))


def window(days=1, **options):
    return as_predictions(*make_table(days, **options), days=days)


def assert_same(left: WindowCounts, right: WindowCounts) -> None:
    assert left.rows == right.rows
    assert left.categorical == right.categorical
    assert left.numeric.keys() == right.numeric.keys()
    for name, one in left.numeric.items():
        other = right.numeric[name]
        assert np.array_equal(one.edges, other.edges), name
        assert np.array_equal(one.counts, other.counts), name
        assert one.nulls == other.nulls
        assert one.sums == pytest.approx(other.sums, rel=1e-9, abs=1e-6)


@given(finite, samples, samples, samples)
def test_merging_is_associative_commutative_and_loses_no_row(reference, first, second, third):
    edges = quantile_edges(np.sort(reference))
    a, b, c = (count_numbers(edges, part) for part in (first, second, third))
    whole = count_numbers(edges, np.concatenate((first, second, third)))
    for merged in (a.merge(b).merge(c), a.merge(b.merge(c)), c.merge(a).merge(b)):
        assert np.array_equal(merged.counts, whole.counts)
        assert merged.sums == pytest.approx(whole.sums, rel=1e-9, abs=1e-6)
        assert merged.held + merged.nulls == first.size + second.size + third.size


@given(st.lists(st.lists(st.sampled_from(["a", "b", "new", "other", None])), max_size=4))
def test_categories_merge_exactly_whatever_the_parts(parts):
    known, merged = ("a", "b", "c"), count_categories(("a", "b", "c"), [])
    for part in parts:
        merged = merged.merge(count_categories(known, part))
    whole = count_categories(known, [text for part in parts for text in part])
    assert merged == whole
    assert merged.counts.keys() <= set(known)


def test_shards_of_a_window_are_the_window(profile):
    whole, scheme = window(3), scheme_of(profile)
    cuts = [START, START + DAY / 3, START + DAY, START + 3 * DAY]
    merged = WindowCounts.nothing(scheme)
    for since, until in itertools.pairwise(cuts):
        inside = (whole.times >= since.timestamp() * 1e6) & (whole.times < until.timestamp() * 1e6)
        part = type(whole)(
            version=1,
            window=whole.window,
            times=whole.times[inside],
            keys=whole.keys[inside],
            values=whole.values[inside],
            latencies=whole.latencies[inside],
            features={name: column[inside] for name, column in whole.features.items()},
        )
        merged = merged.merge(count_window(scheme, part, []))
    assert_same(merged, count_window(scheme, whole, []))
    assert merged.rows == whole.rows
    assert set(merged.numeric) == {"wind", "warmth", PREDICTION}


def test_what_is_stored_is_small_and_comes_back(profile, tmp_path):
    scheme = scheme_of(profile)
    assert max(edges.size for edges in scheme.edges.values()) <= CELLS + 1
    fewer = count_window(scheme, window(), []).onto(scheme_of(profile, STORED_CELLS))
    assert max(one.counts.size for one in fewer.numeric.values()) <= STORED_CELLS + 1
    path = counts_path(Storage(tmp_path), MODEL, 3, START)
    fewer.save(path)
    assert_same(WindowCounts.load(path), fewer)
    assert path.stat().st_size < 20_000
    assert_same(fewer, count_window(scheme_of(profile, STORED_CELLS), window(), []))


def test_damaged_and_missing_files_are_named(tmp_path):
    for content in (None, b"", b"PK\x03\x04 torn", b"no zip"):
        path = tmp_path / "one.npz"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(DataInvalidError, match=r"one\.npz"):
            WindowCounts.load(path)


def test_stored_windows_are_found_by_time_and_forgotten(profile, tmp_path):
    storage, counted = Storage(tmp_path), WindowCounts.nothing(scheme_of(profile, STORED_CELLS))
    starts = [START + number * timedelta(microseconds=1) + number * DAY for number in range(4)]
    for version, start in ((1, starts[0]), (1, starts[1]), (1, starts[3]), (2, starts[2])):
        counted.save(counts_path(storage, MODEL, version, start))
    assert [start for start, _ in stored_windows(storage, MODEL, 1, starts[0], starts[3])] == starts[:2]
    assert stored_windows(storage, "unknown", 1, START, START + DAY) == []
    assert forget_windows(storage, MODEL, starts[2]) == 2
    assert [start for start, _ in stored_windows(storage, MODEL, 1, START, START + 9 * DAY)] == [starts[3]]


def test_counts_of_different_cells_do_not_merge(profile):
    fine, coarse = (count_window(scheme_of(profile, cells), window(), []) for cells in (CELLS, STORED_CELLS))
    with pytest.raises(ValueError, match="cells differ"):
        fine.merge(coarse)
    with pytest.raises(ValueError, match="no part of"):
        coarse.onto(scheme_of(profile))


RANDOM = np.random.default_rng(7)
SHAPES = {
    "normal": lambda shift, n: RANDOM.normal(shift, 1, n),
    "skewed": lambda shift, n: RANDOM.lognormal(shift, 1.5, n),
    "heavy": lambda shift, n: RANDOM.standard_cauchy(n) + shift,
    "whole": lambda shift, n: RANDOM.poisson(5 + 4 * shift, n).astype(float),
    "half zero": lambda shift, n: RANDOM.gamma(2, 3, n) * (RANDOM.uniform(size=n) > 0.6 - shift),
    "rounded": lambda shift, n: np.round(RANDOM.normal(shift, 10, n), 1),
    "far away": lambda shift, n: 1.7e9 + RANDOM.normal(shift, 1, n),
    "constant": lambda shift, n: np.full(n, 3.0 + shift),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shift", [0.0, 0.05, 0.5])
def test_counts_measure_what_the_rows_measure(shape, shift):
    for size in (1_000, 60_000):
        reference = NumericReference.of(SHAPES[shape](0.0, 50_000))
        rows = SHAPES[shape](shift, size)
        counted = count_numbers(quantile_edges(reference.values), rows)
        assert wasserstein_of_counts(reference, counted) == pytest.approx(reference.distance(rows), abs=1e-3)
        assert ks_of_counts(reference, counted) == pytest.approx(reference.ks(rows), abs=1e-3)


@given(finite, finite)
@settings(max_examples=200)
def test_few_values_are_measured_as_well(reference, current):
    prepared = NumericReference.of(reference)
    counted = count_numbers(quantile_edges(prepared.values), current)
    exact = prepared.distance(current)
    assert wasserstein_of_counts(prepared, counted) <= exact + 1e-6 * (1 + exact)
    assert ks_of_counts(prepared, counted) == pytest.approx(prepared.ks(current), abs=1e-9)


def test_a_wild_value_counts_in_full():
    reference = NumericReference.of(np.linspace(0, 1, 1000))
    rows = np.array([0.5] * 99 + [1e6])
    counted = count_numbers(quantile_edges(reference.values), rows)
    assert wasserstein_of_counts(reference, counted) == pytest.approx(reference.distance(rows), rel=1e-6)
