"""The stretch of event time that a report is about: a whole day, week (from Monday), month or quarter, in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

from include.lifecycle.errors import SettingsError

Kind = Literal["daily", "weekly", "monthly", "quarterly"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_MONTHS = {"monthly": 1, "quarterly": 3}
_BACK = {"daily": 6, "weekly": 3, "monthly": 2, "quarterly": 1}


@dataclass(frozen=True)
class Period:
    """Event time [start, end)."""

    kind: Kind
    start: datetime
    end: datetime

    @property
    def name(self) -> str:
        """How people name it: 2013-08-01, 2013-W31 (ISO 8601), 2013-08, 2013-Q3."""
        if self.kind == "weekly":
            year, week, _ = self.start.isocalendar()
            return f"{year}-W{week:02}"
        if self.kind == "quarterly":
            return f"{self.start.year}-Q{(self.start.month - 1) // 3 + 1}"
        return f"{self.start:%Y-%m}" if self.kind == "monthly" else f"{self.start:%Y-%m-%d}"

    @property
    def words(self) -> str:
        """First and last day."""
        last = self.end - timedelta(days=1)
        return f"{self.start:%Y-%m-%d}" if self.kind == "daily" else f"{self.start:%Y-%m-%d} to {last:%Y-%m-%d}"

    @property
    def page(self) -> str:
        """File name of its report."""
        return f"report-{self.kind}-{self.name}.html"

    @property
    def before(self) -> Period:
        """The period before this one."""
        return containing(self.kind, self.start - timedelta(microseconds=1))

    @property
    def trend_start(self) -> datetime:
        """Where charts begin: six days, three weeks, two months or one quarter earlier."""
        period = self
        for _ in range(_BACK[self.kind]):
            period = period.before
        return period.start


def containing(kind: Kind, at: datetime) -> Period:
    """The period of this kind that `at` lies in."""
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if kind == "daily":
        return Period(kind, day, day + timedelta(days=1))
    if kind == "weekly":
        start = day - timedelta(days=day.weekday())
        return Period(kind, start, start + timedelta(days=7))
    months = _MONTHS[kind]
    start = day.replace(month=(day.month - 1) // months * months + 1, day=1)
    after = start.month - 1 + months
    return Period(kind, start, start.replace(year=start.year + after // 12, month=after % 12 + 1))


def chosen_period(kind: Kind, at: str, now: datetime) -> Period:
    """The newest finished period, or the one that holds `at` (ISO 8601, UTC unless it says otherwise).

    Raises SettingsError when `at` is no time, or its period has not begun.
    """
    if not at.strip():
        return last_finished(kind, now)
    try:
        wanted = datetime.fromisoformat(at.strip())
    except ValueError:
        raise SettingsError(f"{at!r} is no time; allowed: ISO 8601, such as 2013-08-01 or 2013-08-01T12:30+00:00") from None
    period = containing(kind, wanted if wanted.tzinfo else wanted.replace(tzinfo=UTC))
    if period.start > now:
        raise SettingsError(f"{at}: {period.name} has not begun; it is {now:%Y-%m-%d %H:%M} UTC")
    return period


def last_finished(kind: Kind, now: datetime) -> Period:
    """The newest period of this kind that ended by `now`."""
    return containing(kind, now).before
