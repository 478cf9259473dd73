"""Clocks: event time follows wall time by anchor and rate; the clock file is read anew and checked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.clock import FileClock, FixedClock, ShiftedClock, SystemClock, read_clock, write_clock
from include.lifecycle.errors import SettingsError

WALL, EVENT = datetime(2026, 1, 1, tzinfo=UTC), datetime(2013, 8, 1, tzinfo=UTC)


def test_system_and_fixed_clock_are_utc():
    before = datetime.now(UTC)
    assert before <= SystemClock().now() <= datetime.now(UTC)
    assert FixedClock(EVENT).now() == EVENT


@given(st.integers(0, 10**6), st.integers(1, 10**5))
def test_event_time_runs_at_the_rate(seconds, rate):
    clock = ShiftedClock(WALL, EVENT, rate)
    assert clock.at(WALL + timedelta(seconds=seconds)) == EVENT + timedelta(seconds=seconds * rate)


def test_the_file_is_read_on_each_call(tmp_path):
    file = tmp_path / "clock.json"
    clock = FileClock(file)
    for day in (1, 2):
        frozen = ShiftedClock(WALL, datetime(2013, 8, day, tzinfo=UTC), 0.0)
        write_clock(file, frozen)
        assert read_clock(file) == frozen
        assert clock.now().day == day
    assert [path.name for path in tmp_path.iterdir()] == ["clock.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"wall_anchor": "x", "event_anchor": "y", "rate": 1}'])
def test_a_broken_file_is_a_settings_error(tmp_path, text):
    file = tmp_path / "clock.json"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"clock file .*clock.json: .*expected wall_anchor, event_anchor"):
        FileClock(file).now()


def test_a_missing_file_is_a_settings_error(tmp_path):
    with pytest.raises(SettingsError, match="No such file"):
        read_clock(tmp_path / "none.json")
