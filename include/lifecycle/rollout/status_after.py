"""What a finished transition, a pause and a freeze do to a rollout's status. Pure; the driver stores it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from include.lifecycle.rollout.states import Status, Transition


def after(status: Status, transition: Transition, now: datetime) -> dict[str, Any]:
    """What of the status changes when a transition is done. The time of a pause does not count as time of the stage; a held
    rollout starts its stage and its patience anew when a person resumes it.
    """
    update: dict[str, Any] = {"pending": None, "attempts": 0, "reason": transition.reason}
    if transition.act in ("pause", "hold") and transition.state.is_open:
        halted = {"paused": True, "paused_at": now, "halted_at": status.halted_at or now}
        return update | halted | {"held": transition.act == "hold"}
    going = {"paused": False, "paused_at": None, "held": False}
    if transition.act == "resume" and status.held:
        return update | going | {"since": now, "started": now, "halted_at": None}
    if transition.act == "resume":
        return update | going | ({} if status.frozen_at else _go_on(status, now))
    moved = {"state": transition.state, "step": transition.step, "weights": transition.weights, "since": now}
    return update | moved | going | {"started": status.started or now, "halted_at": None}


def while_frozen(status: Status, frozen: str, now: datetime) -> dict[str, Any]:
    """Remember since when a freeze holds the rollout up; when it ends, its time does not count, as that of a pause does not."""
    if frozen:
        return {"frozen_at": status.frozen_at or now, "halted_at": status.halted_at or now}
    if status.frozen_at is None:
        return {}
    return {"frozen_at": None} | ({} if status.paused else _go_on(status, now))


def _go_on(status: Status, now: datetime) -> dict[str, Any]:
    """The times moved on by how long the rollout stood still, by a pause, a freeze, or both; without traffic it has none."""
    gap = now - (status.halted_at or status.paused_at or status.frozen_at or now)
    moved = {name: found + gap for name in ("since", "started") if (found := getattr(status, name)) is not None}
    return moved | {"halted_at": None}
