"""What a finished transition, a pause and a freeze do to a rollout's status. Pure; the driver stores it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from include.lifecycle.rollout.states import Status, Transition


def after(status: Status, transition: Transition, now: datetime) -> dict[str, Any]:
    """What of the status changes when a transition is done. The time of a pause does not count as time of the stage."""
    update: dict[str, Any] = {"pending": None, "attempts": 0, "reason": transition.reason}
    if transition.act == "pause":
        return update | {"paused": True, "paused_at": now}
    if transition.act == "resume":
        return update | _later(status, now - (status.paused_at or now)) | {"paused": False, "paused_at": None}
    moved = {"state": transition.state, "step": transition.step, "weights": transition.weights, "since": now}
    return update | moved | {"started": status.started or now, "paused": False, "paused_at": None}


def while_frozen(status: Status, frozen: str, now: datetime) -> dict[str, Any]:
    """Remember since when a freeze holds the rollout up; when it ends, its time does not count, as that of a pause does not."""
    if frozen:
        return {"frozen_at": status.frozen_at or now}
    if status.frozen_at is None:
        return {}
    held_up = timedelta(0) if status.paused else now - status.frozen_at
    return _later(status, held_up) | {"frozen_at": None}


def _later(status: Status, gap: timedelta) -> dict[str, Any]:
    """The rollout's times, moved on by `gap`; one that has no traffic yet has none."""
    return {name: found + gap for name in ("since", "started") if (found := getattr(status, name)) is not None}
