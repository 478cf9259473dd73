"""When a model is trained by the clock: the tiers' crons and their words in one place, and the slot that nobody answered.

The train Dag's timetable comes from here, and so do the sentences of `cli explain`. Cron is wall time in UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from include.lifecycle.spec import ModelSpec

CRON = {"primary": "0 2 * * 0", "secondary": "0 2 1 * *"}
WORDS = {"primary": "every Sunday at 02:00 UTC", "secondary": "on the first day of each month at 02:00 UTC"}
BY_TIER, NEVER = "tier", "none"
GRACE = timedelta(minutes=15)
"""So long after a slot its own run may still come; then the request is written in its place."""


def cron_of(spec: ModelSpec) -> str | None:
    """The model's cron: `retraining.schedule`, which by default is its tier's; None when it has none."""
    schedule = spec.retraining.schedule
    if schedule == NEVER:
        return None
    return CRON[spec.tier] if schedule == BY_TIER else schedule


def schedule_in_words(spec: ModelSpec) -> str:
    """When the schedule trains, as the rest of a sentence that begins with "Trains"."""
    schedule = spec.retraining.schedule
    if schedule == NEVER:
        return "by no schedule (retraining.schedule is none)"
    return f"{WORDS[spec.tier]} (tier {spec.tier})" if schedule == BY_TIER else f"by the cron `{schedule}` (UTC)"


def check_cron(text: str) -> None:
    """Raise ValueError when `text` is no cron of five fields, draws a random time, or names a time that never comes."""
    from croniter import croniter

    drawn = any(field[:1].upper() in ("R", "H") for field in text.split())
    if len(text.split()) != 5 or drawn or not croniter.is_valid(text):
        raise ValueError(f"{text!r} is no cron; allowed: {BY_TIER}, {NEVER}, or five fields such as 0 2 * * 0 (UTC)")
    try:
        last_slot(text, datetime.now(UTC))
    except ValueError as problem:
        raise ValueError(f"{text!r} names no time that ever comes") from problem


def last_slot(cron: str, now: datetime) -> datetime:
    """The newest slot of `cron` that is not after the wall time `now`."""
    from croniter import croniter

    found: datetime = croniter(cron, now + timedelta(microseconds=1)).get_prev(datetime)
    return found


def missed_slot(spec: ModelSpec, first: datetime | None, newest: datetime | None, now: datetime) -> datetime | None:
    """The newest slot if it passed without any training request: its Dag was paused, or a component was down.

    `first` and `newest`: wall times of the model's first and newest request of any source; a model that was never asked
    to train is a new one, and misses nothing. `now` is wall time.
    """
    cron = cron_of(spec)
    if cron is None or first is None or newest is None:
        return None
    slot = last_slot(cron, now)
    return slot if first < slot and newest < slot and now - slot >= GRACE else None
