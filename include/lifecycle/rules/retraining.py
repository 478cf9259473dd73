"""Rules on when a model is trained: periods, the daily window and the cron must be readable, and leave room for a training."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from include.lifecycle.rules.view import Found, Rule, View

_MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
_TIERS = ("tier", "none")


def _readable(view: View) -> Found:
    from include.lifecycle.decisions.calendar import parse_period, parse_window
    from include.lifecycle.decisions.schedule import check_cron

    for path, text in view.texts("retraining.freeze"):
        yield from _told(path, text, parse_period)
    window, schedule = view.get("retraining.window"), view.get("retraining.schedule")
    if isinstance(window, str):
        yield from _told(("retraining", "window"), window, parse_window)
    if isinstance(schedule, str) and schedule not in _TIERS:
        yield from _told(("retraining", "schedule"), schedule, check_cron)


def _told(path: tuple[str | int, ...], text: str, read: Callable[[str], object]) -> Found:
    try:
        read(text)
    except ValueError as problem:
        yield path, str(problem)


def _some_time_is_left(view: View) -> Found:
    """Weekly freezes that cover the whole daily window, or the whole week, would never let a training start."""
    from include.lifecycle.decisions.calendar import Weekly, parse_period, parse_window

    window = view.get("retraining.window")
    try:
        periods = [parse_period(text) for _, text in view.texts("retraining.freeze")]
        weekly = [period for period in periods if isinstance(period, Weekly)]
        daily = parse_window(window) if isinstance(window, str) else None
    except ValueError:
        return
    minutes = (_MONDAY + timedelta(minutes=step) for step in range(7 * 24 * 60))
    allowed = (moment for moment in minutes if daily is None or daily.end(moment) is not None)
    if weekly and all(any(period.end(moment) for period in weekly) for moment in allowed):
        yield ("retraining", "freeze"), "the weekly periods leave no time in which a training could start"


RULES: tuple[Rule, ...] = (_readable, _some_time_is_left)
