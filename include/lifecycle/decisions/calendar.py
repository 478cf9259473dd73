"""Periods in UTC that a person writes in YAML: freezes by date or by week, and the daily off-peak window.

Pure; `retraining.freeze` and `retraining.window` are read by it, the rules lint with it, the policy and confirm_training ask it.
Every period is half-open: its start belongs to it, its end does not. The last day of a period of dates belongs to it whole.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DATES = re.compile(r"^(\d{4}-\d{2}-\d{2})(?:\.\.(\d{4}-\d{2}-\d{2}))?$")
_WEEKLY = re.compile(r"^(\w{3}) (\d{2}:\d{2})-(\w{3}) (\d{2}:\d{2})$")
_DAILY = re.compile(r"^(\d{2}:\d{2})-(\d{2}:\d{2})$")
_WEEK, _DAY = timedelta(days=7), timedelta(days=1)
_MOST_CHAINED = 60


@dataclass(frozen=True)
class Dates:
    """From the first day's midnight to the midnight after the last day."""

    first: date
    last: date

    def end(self, now: datetime) -> datetime | None:
        """When the period that holds `now` ends; None outside."""
        after = _midnight(self.last) + _DAY
        return after if _midnight(self.first) <= now < after else None


@dataclass(frozen=True)
class Weekly:
    """Every week from `start` to `end`, both counted from Monday 00:00; over the weekend when the end comes first."""

    start: timedelta
    end_at: timedelta

    def end(self, now: datetime) -> datetime | None:
        """When the period that holds `now` ends; None outside."""
        return _end(now, _midnight(now.date()) - now.weekday() * _DAY, _WEEK, self.start, self.end_at)


@dataclass(frozen=True)
class Daily:
    """Every day from `start` to `end`, both counted from midnight; over midnight when the end comes first."""

    start: timedelta
    end_at: timedelta

    def end(self, now: datetime) -> datetime | None:
        """When the window that holds `now` closes; None outside."""
        return _end(now, _midnight(now.date()), _DAY, self.start, self.end_at)

    def opens(self, now: datetime) -> datetime:
        """When the window opens next; `now` itself while it is open."""
        if self.end(now) is not None:
            return now
        today = _midnight(now.date()) + self.start
        return today if today >= now else today + _DAY


def parse_period(text: str) -> Dates | Weekly:
    """Read `2026-12-20..2027-01-03`, `2026-12-24` or `Fri 18:00-Mon 06:00`; ValueError says what is allowed."""
    if found := _DATES.match(text):
        first, last = (_date(part) for part in (found[1], found[2] or found[1]))
        if last < first:
            raise ValueError(f"{text!r} ends before it starts")
        return Dates(first, last)
    if found := _WEEKLY.match(text):
        start, end = _weekday(found[1]) + _time(found[2]), _weekday(found[3]) + _time(found[4])
        if start == end:
            raise ValueError(f"{text!r} starts and ends at the same time")
        return Weekly(start, end)
    raise ValueError(f"{text!r} is no period; allowed: 2026-12-20..2027-01-03, 2026-12-24 or Fri 18:00-Mon 06:00, all in UTC")


def parse_window(text: str) -> Daily:
    """Read `02:00-04:00` (`22:00-04:00` goes over midnight); ValueError says what is allowed."""
    found = _DAILY.match(text)
    if found is None:
        raise ValueError(f"{text!r} is no daily window; allowed: two times of day in UTC, such as 02:00-04:00")
    start, end = _time(found[1]), _time(found[2])
    if start == end:
        raise ValueError(f"{text!r} starts and ends at the same time; null means any time")
    return Daily(start, end)


def frozen_until(periods: Sequence[str], now: datetime) -> tuple[str, datetime] | None:
    """The first period that holds `now`, and when the freeze is over: periods that follow without a gap count as one.

    Periods that never leave a gap give the end of what was looked through, which is weeks away.
    """
    read = [(text, parse_period(text)) for text in periods]
    named, until = None, now
    for _ in range(_MOST_CHAINED):
        holding = next(((text, end) for text, period in read if (end := period.end(until))), None)
        if holding is None:
            break
        named, until = named or holding[0], holding[1]
    return None if named is None else (named, until)


def next_start(window: str | None, periods: Sequence[str], now: datetime) -> datetime:
    """The earliest time from `now` on that is inside the daily window (None: always) and outside every freeze."""
    daily, moment = parse_window(window) if window else None, now
    for _ in range(_MOST_CHAINED):
        frozen = frozen_until(periods, moment)
        later = frozen[1] if frozen else moment
        later = daily.opens(later) if daily else later
        if later == moment:
            break
        moment = later
    return moment


def _end(now: datetime, origin: datetime, cycle: timedelta, start: timedelta, end: timedelta) -> datetime | None:
    length = (end - start) % cycle
    for begun in (origin + start - cycle, origin + start):
        if begun <= now < begun + length:
            return begun + length
    return None


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no day of the calendar") from None


def _weekday(text: str) -> timedelta:
    if text not in _DAYS:
        raise ValueError(f"{text!r} is no day of the week; allowed: {', '.join(_DAYS)}")
    return _DAYS.index(text) * _DAY


def _time(text: str) -> timedelta:
    hours, minutes = (int(part) for part in text.split(":"))
    if hours > 23 or minutes > 59:
        raise ValueError(f"{text!r} is no time of day; allowed: 00:00 to 23:59")
    return timedelta(hours=hours, minutes=minutes)
