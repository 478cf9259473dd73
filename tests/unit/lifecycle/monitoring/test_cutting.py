"""Windows by predictions or by labels: full, in order, without a gap, and never parting rows of one moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from include.lifecycle.monitoring.cutting import Logged, cut, due_windows
from include.lifecycle.monitoring.windows import Measured, Window, finished_windows, look_back, microseconds, windows_back
from include.lifecycle.rules.monitoring import RULES
from include.lifecycle.rules.view import View
from tests.unit.lifecycle.monitoring.examples import START, make_spec

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BEGIN = microseconds(START)


def by(kind, size, **more):
    key = {"count": "window_rows", "labels": "window_labels"}[kind]
    return make_spec(monitoring={"window_by": kind, key: size, "minimum_rows": 1, "minimum_labels": 1} | more)


def rows(times, versions=1, mature=True):
    at = np.array([BEGIN + time for time in times], dtype=np.int64)
    return Logged(np.broadcast_to(np.array(versions), at.shape), at, np.broadcast_to(np.array(mature), at.shape))


@given(st.lists(st.integers(0, 200), max_size=80), st.integers(1, 9), st.one_of(st.none(), st.integers(0, 200)))
def test_windows_are_full_and_follow_each_other(offsets, size, begin):
    times = np.sort(np.array(offsets, dtype=np.int64))
    found = list(cut(times, np.ones(times.size), size, begin))
    held = [int(((times >= microseconds(one.start)) & (times < microseconds(one.end))).sum()) for one in found]
    assert all(first.end == second.start for first, second in pairwise(found))
    assert all(count >= size for count in held)
    for one, count in zip(found, held, strict=True):  # no smaller than needed: without its last moment it would not be full
        assert count - int((times == microseconds(one.end) - 1).sum()) < size
    left = times[times >= (microseconds(found[-1].end) if found else -1 if begin is None else begin)]
    assert left.size < size
    if found and begin is not None:
        assert microseconds(found[0].start) == begin


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=60), st.integers(1, 5))
def test_windows_by_labels_hold_so_many_labels(pairs, size):
    pairs = sorted(pairs)
    times, mature = np.array([at for at, _ in pairs], dtype=np.int64), np.array([known for _, known in pairs], dtype=bool)
    for one in cut(times, mature, size, None):
        inside = (times >= microseconds(one.start)) & (times < microseconds(one.end))
        assert int(mature[inside].sum()) >= size


def test_every_hundred_predictions_of_each_version():
    logged = rows(range(1000), versions=[1 + (number % 4 == 0) for number in range(1000)])
    found = due_windows([], logged, {}, now=START + HOUR, spec=by("count", 100))
    assert [version for _, version in found].count(1) == 7
    assert [version for _, version in found].count(2) == 2


def test_the_next_window_begins_where_the_last_one_ended_and_late_rows_come_to_theirs():
    spec, first = by("count", 10), Window(START, START + timedelta(microseconds=10))
    known = {(first, 1): Measured(1, 10, 10, START + HOUR)}
    assert due_windows([], rows(range(15)), known, now=START + HOUR, spec=spec) == []
    second = Window(first.end, START + timedelta(microseconds=20))
    assert due_windows([], rows(range(25)), known, now=START + HOUR, spec=spec) == [(second, 1)]
    late = rows([3, 4, *range(10)])
    assert due_windows([], late, known, now=START + HOUR, spec=spec) == [(first, 1)]


def test_labels_that_arrive_close_the_window():
    spec = by("labels", 5)
    waiting = rows(range(20), mature=[number < 4 for number in range(20)])
    assert due_windows([], waiting, {}, now=START + DAY, spec=spec) == []
    arrived = rows(range(20), mature=[number < 6 for number in range(20)])
    assert due_windows([], arrived, {}, now=START + DAY, spec=spec) == [
        (Window(START, START + timedelta(microseconds=5)), 1),
    ]


def test_windows_by_time_are_the_clocks():
    now = datetime(2013, 1, 10, tzinfo=UTC)
    windows = finished_windows(now, DAY, 9)
    logged = rows([0, 1, 2 * 86_400_000_000], versions=[1, 2, 1])
    found = due_windows(windows, logged, {}, now=now, spec=make_spec())
    assert found == [
        (Window(START, START + DAY), 1),
        (Window(START, START + DAY), 2),
        (Window(START + 2 * DAY, START + 3 * DAY), 1),
    ]


@pytest.mark.parametrize(("schedule", "windows"), [("hourly", 14 + 6), ("daily", 48 + 6), ("weekly", 336 + 6)])
def test_a_missed_look_loses_no_window(schedule, windows):
    assert windows_back(make_spec(monitoring={"schedule": schedule, "window": "1h"})) == windows
    assert look_back(HOUR, 6 * HOUR) == 14 + 6


@pytest.mark.parametrize(
    ("monitoring", "blamed"),
    [
        ({"window_by": "count", "window_rows": 100, "minimum_rows": 1000}, "window_rows"),
        ({"window_by": "labels", "window_labels": 100, "minimum_labels": 300}, "window_labels"),
        ({"window_by": "count", "window_rows": 1000, "minimum_rows": 1000}, None),
        ({"window_by": "time", "window_rows": 100, "minimum_rows": 1000}, None),
    ],
)
def test_windows_that_would_never_be_judged_are_refused(monitoring, blamed):
    found = [path for rule in RULES for path, _ in rule(View("rain", {"monitoring": monitoring}, Path()))]
    assert found == ([] if blamed is None else [("monitoring", blamed)])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("window_by", "rows"),
        ("window_rows", 0),
        ("exact_rows", 999),
        ("slice_rows", 10),
        ("sample_rows", 999),
        ("counting", "fast"),
    ],
)
def test_values_out_of_bounds_are_refused(key, value):
    with pytest.raises(ValidationError, match=f"monitoring.{key}"):
        make_spec(monitoring={key: value})
