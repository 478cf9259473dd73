"""What speaks against a training now, whatever asks for it: mode, stop, freezes, what is under way, cooldown, budget. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from include.lifecycle.decisions.calendar import frozen_until
from include.lifecycle.decisions.vocabulary import FREEZING, RetrainingState, SignalView
from include.lifecycle.spec import ModelSpec


def blockers(
    signals: Sequence[SignalView], state: RetrainingState, spec: ModelSpec, now: datetime, *, force: bool = False
) -> dict[str, str]:
    """Everything that speaks against a training at event time `now`, by the rule's name; empty when nothing does.

    `force` leaves only what no person may lift: the kill switch, a security signal, and a training or rollout under way.
    """
    found: dict[str, str] = {"kill_switch": state.kill_switch} if state.kill_switch else {}
    freezing = FREEZING if not force else ("security",)
    if frozen := sorted(signal.cause for signal in signals if signal.kind in freezing):
        found["frozen"] = f"training is frozen by {', '.join(frozen)}"
    if state.open_request:
        found["open_request"] = state.open_request
    if state.open_rollout:
        found["open_rollout"] = state.open_rollout
    return found if force else _switched_off(state, spec) | found | _cautions(state, spec, now)


def cooldown_until(state: RetrainingState, spec: ModelSpec) -> datetime | None:
    """Last request + cooldown x 2^fruitless, at most `most_doublings` times; None before the first request."""
    if state.last_request_at is None:
        return None
    doubled: int = 2 ** min(state.fruitless, spec.retraining.most_doublings)
    return state.last_request_at + spec.retraining.cooldown * doubled


def _switched_off(state: RetrainingState, spec: ModelSpec) -> dict[str, str]:
    found = {"mode_off": "retraining.mode is off"} if spec.retraining.mode == "off" else {}
    return found | ({"stopped": state.stopped} if state.stopped else {})


def _cautions(state: RetrainingState, spec: ModelSpec, now: datetime) -> dict[str, str]:
    found: dict[str, str] = {}
    if (frozen := frozen_until(spec.retraining.freeze, now)) is not None:
        found["freeze"] = f"training is frozen by {frozen[0]} until {frozen[1]:%Y-%m-%d %H:%M} UTC (retraining.freeze)"
    if (until := cooldown_until(state, spec)) is not None and now < until:
        after = f" after {state.fruitless} fruitless" if state.fruitless else ""
        found["cooldown"] = f"cooldown until {until:%Y-%m-%d %H:%M} UTC{after}"
    budget = spec.retraining.budget_per_month
    if state.trainings_this_month >= budget:
        found["budget"] = f"{state.trainings_this_month} trainings this month spend the budget of {budget}"
    return found
