"""Which windows a season is made of, and distributions that add up across versions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.lifecycle.monitoring.counting.arrays import count_numbers
from include.lifecycle.monitoring.counting.counts import CategoryCounts, WindowCounts
from include.lifecycle.monitoring.counting.store import counts_path
from include.lifecycle.monitoring.inputs.masses import REST, Masses, live_counts, named_counts
from include.lifecycle.monitoring.inputs.season import Season, Span, same_hours, spread_starts
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.storage import Storage

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
AT = datetime(2013, 6, 12, 8, tzinfo=UTC)


def test_the_same_hours_of_recent_weeks():
    assert same_hours(Window(AT, AT + HOUR), 3) == [AT - 7 * DAY, AT - 14 * DAY, AT - 21 * DAY]
    fortnight = Window(AT, AT + 14 * DAY)
    found = same_hours(fortnight, 2)
    assert [round((AT - start) / DAY) for start in found] == pytest.approx([14, 28], abs=7)


@given(st.integers(1, 400), st.integers(1, 8))
def test_starts_are_those_of_aligned_windows(hours, weeks):
    length = hours * HOUR
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    start = epoch + ((AT - epoch) // length) * length
    for back, found in enumerate(same_hours(Window(start, start + length), weeks), 1):
        assert (found - epoch) % length == timedelta(0)
        assert abs((start - found) - back * max(length, 7 * DAY)) <= length / 2
        assert found < start


@pytest.mark.parametrize("most", [7, 56, 200, 1000])
def test_a_spread_of_windows_knows_all_hours_alike(most):
    found = spread_starts(Window(AT, AT + HOUR), 4, most)
    assert len(found) <= most
    assert min(found) >= AT - 28 * DAY
    assert max(found) < AT
    hours = np.bincount([start.hour for start in found], minlength=24)
    assert hours.max() - hours.min() <= max(1, most // 24 // 4)


def test_windows_under_a_signal_or_before_one_that_ended_are_no_reference(tmp_path):
    spans = [Span("wind", AT, None), Span("city", AT - 9 * DAY, AT - 5 * DAY), Span("", AT - 30 * DAY, AT - 20 * DAY)]
    season = Season(Storage(tmp_path), "rain", spans, {})

    def clean(column, days):
        return season.clean(column, AT - days * DAY, AT - (days - 1) * DAY)

    assert clean("wind", 3)
    assert not clean("wind", 0)
    assert [clean("city", days) for days in (3, 7, 12)] == [True, False, False]
    assert [clean("warmth", days) for days in (3, 19, 25)] == [True, True, False]


def test_versions_that_answered_in_one_window_count_together(tmp_path):
    season = Season(Storage(tmp_path), "rain", [], {})
    for version, rows in ((1, 300), (2, 100)):
        WindowCounts(rows, {}, {"city": CategoryCounts({"Oslo": rows}, 0, 0)}).save(
            counts_path(season.storage, "rain", version, AT)
        )
    assert season.counts(AT, 401) == []
    assert sum(one.rows for one in season.counts(AT, 400)) == 400
    assert season.counts(AT - DAY, 1) == []


def test_a_damaged_file_is_left_out(tmp_path, caplog):
    season = Season(Storage(tmp_path), "rain", [], {})
    path = counts_path(season.storage, "rain", 1, AT)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"broken")
    assert season.counts(AT, 1) == []
    assert "left out of the season" in caplog.text


values = st.lists(st.integers(-20, 20), min_size=1, max_size=60)


@settings(deadline=None)
@given(values, values)
def test_the_distance_of_masses_is_scipys(first, second):
    from scipy.stats import wasserstein_distance

    found = Masses.of(np.array(first, float)).distance(Masses.of(np.array(second, float)))
    assert found == pytest.approx(wasserstein_distance(first, second), abs=1e-9)


def test_cells_of_two_versions_add_up():
    random = np.random.default_rng(1)
    past, live = random.normal(size=4000), random.normal(0.3, 1, size=1000)
    parts = [
        count_numbers(np.quantile(half, np.linspace(0, 1, 100)), half) for half in (past[:2000], past[2000:])
    ]  # each version has edges of its own
    masses = Masses.counted(parts)
    assert masses.rows == 4000
    assert Masses.of(live).distance(masses) == pytest.approx(Masses.of(live).distance(Masses.of(past)), abs=0.01)
    assert np.isnan(Masses.counted([]).distance(masses))


def test_categories_that_a_version_did_not_know_are_one():
    total = named_counts([CategoryCounts({"Oslo": 3}, 2, 1), CategoryCounts({"Oslo": 1, "Rome": 4}, 0, 0)])
    assert total == {"Oslo": 4, "Rome": 4, REST: 2}
    assert live_counts(np.array(["Oslo", "Paris", "Bonn", None], dtype=object), {"Oslo": 9}) == {"Oslo": 1, REST: 2}
