"""Periods in which nothing is trained and the daily window, at their edges, and what lint says of unreadable ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.decisions.calendar import frozen_until, next_start, parse_period, parse_window
from include.lifecycle.rules.retraining import RULES
from include.lifecycle.rules.view import View
from include.settings import PROJECT_ROOT

SECOND = timedelta(seconds=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


HOLIDAYS = "2026-12-20..2027-01-03"
WEEKEND = "Fri 18:00-Mon 06:00"  # 2026-11-20 is a Friday


@pytest.mark.parametrize(
    ("period", "moment", "end"),
    [
        (HOLIDAYS, "2026-12-19T23:59:59", None),
        (HOLIDAYS, "2026-12-20T00:00:00", "2027-01-04T00:00:00"),
        (HOLIDAYS, "2027-01-03T23:59:59", "2027-01-04T00:00:00"),
        (HOLIDAYS, "2027-01-04T00:00:00", None),
        ("2026-12-24", "2026-12-24T12:00:00", "2026-12-25T00:00:00"),
        ("2026-12-24", "2026-12-25T00:00:00", None),
        (WEEKEND, "2026-11-20T17:59:59", None),
        (WEEKEND, "2026-11-20T18:00:00", "2026-11-23T06:00:00"),
        (WEEKEND, "2026-11-22T12:00:00", "2026-11-23T06:00:00"),
        (WEEKEND, "2026-11-23T05:59:59", "2026-11-23T06:00:00"),
        (WEEKEND, "2026-11-23T06:00:00", None),
        ("Tue 09:00-Tue 17:00", "2026-11-24T16:59:59", "2026-11-24T17:00:00"),
        ("Tue 17:00-Tue 09:00", "2026-11-24T12:00:00", None),
        ("Tue 17:00-Tue 09:00", "2026-11-24T08:59:59", "2026-11-24T09:00:00"),
    ],
)
def test_a_freeze_holds_its_start_and_not_its_end(period, moment, end):
    found = frozen_until([period], at(moment))
    assert found == (None if end is None else (period, at(end)))


def test_freezes_that_follow_without_a_gap_are_one():
    assert frozen_until([WEEKEND, "2026-11-23"], at("2026-11-22T00:00:00")) == (WEEKEND, at("2026-11-24T00:00:00"))
    assert frozen_until([], at("2026-11-22T00:00:00")) is None


@pytest.mark.parametrize(
    ("window", "moment", "opens"),
    [
        ("02:00-04:00", "2026-11-22T01:59:59", "2026-11-22T02:00:00"),
        ("02:00-04:00", "2026-11-22T02:00:00", "2026-11-22T02:00:00"),
        ("02:00-04:00", "2026-11-22T03:59:59", "2026-11-22T03:59:59"),
        ("02:00-04:00", "2026-11-22T04:00:00", "2026-11-23T02:00:00"),
        ("22:00-04:00", "2026-11-22T23:00:00", "2026-11-22T23:00:00"),
        ("22:00-04:00", "2026-11-22T03:59:59", "2026-11-22T03:59:59"),
        ("22:00-04:00", "2026-11-22T04:00:00", "2026-11-22T22:00:00"),
    ],
)
def test_the_daily_window_opens(window, moment, opens):
    assert parse_window(window).opens(at(moment)) == at(opens)


def test_window_and_freeze_together():
    assert next_start("02:00-04:00", [WEEKEND], at("2026-11-21T02:30:00")) == at("2026-11-24T02:00:00")
    assert next_start(None, [], at("2026-11-21T02:30:00")) == at("2026-11-21T02:30:00")


@given(st.integers(0, 2 * 365 * 24 * 60).map(lambda minutes: at("2026-01-01") + timedelta(minutes=minutes)))
def test_the_end_of_a_freeze_is_free_and_all_before_is_not(moment):
    periods = [WEEKEND, HOLIDAYS, "Wed 00:00-Wed 12:00"]
    found = frozen_until(periods, moment)
    if found is None:
        return
    assert found[1] > moment
    assert frozen_until(periods, found[1]) is None
    assert frozen_until(periods, found[1] - SECOND) is not None or found[1] - SECOND < moment


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (parse_period, "christmas", "no period; allowed: 2026-12-20..2027-01-03"),
        (parse_period, "2027-01-03..2026-12-20", "ends before it starts"),
        (parse_period, "2026-02-30", "no day of the calendar"),
        (parse_period, "Fry 18:00-Mon 06:00", "no day of the week; allowed: Mon, Tue"),
        (parse_period, "Fri 24:00-Mon 06:00", "no time of day"),
        (parse_period, "Fri 18:00-Fri 18:00", "starts and ends at the same time"),
        (parse_window, "2-4", "no daily window"),
        (parse_window, "02:60-04:00", "no time of day"),
        (parse_window, "02:00-02:00", "null means any time"),
    ],
)
def test_what_cannot_be_read_says_what_is_allowed(read, text, said):
    with pytest.raises(ValueError, match=said):
        read(text)


def found(**retraining) -> list[tuple[str, str]]:
    view = View("churn", {"retraining": retraining}, PROJECT_ROOT)
    return [(".".join(map(str, path)), sentence) for rule in RULES for path, sentence in rule(view)]


def test_lint_names_the_key():
    assert found(freeze=[WEEKEND, HOLIDAYS], window="02:00-04:00", schedule="tier") == []
    assert found(schedule="none") == []
    assert found(schedule="30 4 * * 1-5") == []
    ((key, said),) = found(freeze=[WEEKEND, "never"])
    assert (key, said.split(";")[0]) == ("retraining.freeze.1", "'never' is no period")
    assert found(window="noon")[0][0] == "retraining.window"
    for wrong in ("weekly", "0 2 * *", "0 2 * * 0 2013", "61 2 * * 0"):
        assert "is no cron" in found(schedule=wrong)[0][1], wrong
    assert "is no cron" in found(schedule="R 2 * * *")[0][1], "a random slot would be another one at each look"
    assert "no time that ever comes" in found(schedule="0 2 31 2 *")[0][1]


def test_lint_refuses_freezes_that_leave_no_time():
    assert found(freeze=["Mon 00:00-Thu 00:00", "Thu 00:00-Mon 00:00"])[0][0] == "retraining.freeze"
    nights = [f"{day} 01:00-{day} 05:00" for day in ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")]
    assert found(freeze=nights, window="02:00-04:00")[0][0] == "retraining.freeze"
    assert found(freeze=nights[:6], window="02:00-04:00") == []
