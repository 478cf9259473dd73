"""How the reports write numbers, shares, times and lengths."""

from __future__ import annotations

from datetime import datetime, timedelta

from include.lifecycle.monitoring.health import band
from include.lifecycle.reporting.page import Mood

NONE = "-"
_MOODS: dict[str, Mood] = {"good": "good", "warning": "warning", "critical": "bad"}


def number(value: float | None, digits: int = 3) -> str:
    """A plain number with so many decimals."""
    return NONE if value is None else f"{value:.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction in percent."""
    return NONE if value is None else f"{value:.{digits}%}"


def moment(at: datetime | None) -> str:
    """Day and minute."""
    return NONE if at is None else f"{at:%Y-%m-%d %H:%M}"


def length(span: timedelta | float | None) -> str:
    """A time span (or its seconds) in its two largest units."""
    if span is None:
        return NONE
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours < 1:
        return f"{minutes} min"
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def health_words(value: float | None) -> str:
    """Score and band."""
    return NONE if value is None else f"{value:.2f} {band(value)}"


def health_mood(value: float | None) -> Mood:
    """The band as a mood."""
    return "none" if value is None else _MOODS[band(value)]


def goal_mood(value: float | None, goal: float) -> Mood:
    """Good from the goal on."""
    return "none" if value is None else "good" if value >= goal else "bad"
