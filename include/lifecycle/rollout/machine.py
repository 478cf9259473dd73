"""The rollout's state machine: one pure function from plan, status, measurement and wall time to the next transition.

planned -> running (step 0, 1, ...) -> baking -> promoted, and from any open state to rolled_back, held or aborted.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from include.lifecycle.rollout.checks import bake_checks, step_checks
from include.lifecycle.rollout.states import Act, Measurement, Plan, State, Status, Transition
from include.lifecycle.verdicts import Verdict


def step(plan: Plan, status: Status, measurement: Measurement, now: datetime) -> Transition:
    """The next transition; `act` is "wait" when nothing changes. Raises ValueError for a closed rollout.

    A failed check rolls back at once. A step is left when its time and requests are reached and error rate and latency pass.
    """
    if status.state is State.PLANNED:
        return _enter(plan, 0, "serving checked and approved")
    if status.state is State.RUNNING:
        return _during_step(plan, status, measurement, now)
    if status.state is State.BAKING:
        return _during_bake(plan, status, measurement, now)
    raise ValueError(f"rollout of {plan.model} {plan.version} is closed ({status.state}); there is no next step")


def abort(plan: Plan, status: Status, reason: str) -> Transition:
    """Stop from outside: the champion gets all traffic back."""
    return _back(plan, status, "abort", State.ABORTED, reason, [])


def _enter(plan: Plan, index: int, reason: str, verdicts: list[Verdict] | None = None) -> Transition:
    """Go to a step, or to the provisional promotion after the last one."""
    weights = plan.weights_at(index)
    if index < len(plan.active_steps):
        act, state = "shift_traffic", State.RUNNING
        reason = f"{reason}; {weights[plan.version]} % to version {plan.version}"
    else:
        act, state = "promote", State.BAKING
        reason = f"{reason}; all traffic to version {plan.version}, provisional until the bake ends"
    return Transition.model_validate(
        {"act": act, "state": state, "step": index, "weights": weights, "reason": reason, "verdicts": verdicts or []}
    )


def _during_step(plan: Plan, status: Status, seen: Measurement, now: datetime) -> Transition:
    verdicts = step_checks(plan, seen)
    failed = [verdict for verdict in verdicts if verdict.failed]
    if failed:
        return _back(plan, status, "roll_back", State.ROLLED_BACK, _told(failed), verdicts)
    limits, elapsed = plan.active_steps[status.step], now - (status.since or now)
    error_rate, latency, _performance = verdicts
    if elapsed >= limits.at_least and seen.requests >= limits.requests and error_rate.passed and latency.passed:
        return _enter(plan, status.step + 1, f"step of {limits.percent} % passed with {seen.requests} requests", verdicts)
    return _wait_or_give_up(plan, status, now, plan.give_up_after, verdicts)


def _during_bake(plan: Plan, status: Status, seen: Measurement, now: datetime) -> Transition:
    verdicts = bake_checks(plan, seen)
    failed = [verdict for verdict in verdicts if verdict.failed]
    if failed:
        return _back(plan, status, "roll_back", State.ROLLED_BACK, _told(failed), verdicts)
    if now - (status.since or now) < plan.bake:
        return _stay(status, "wait", status.state, "bake goes on", verdicts)
    if verdicts[0].passed or plan.champion is None:
        weights, reason = {plan.version: 100}, f"bake ended: {_told(verdicts)}"
        state, at = State.PROMOTED, status.step
        return Transition(act="confirm", state=state, step=at, weights=weights, reason=reason, verdicts=verdicts)
    return _wait_or_give_up(plan, status, now, plan.give_up_after + plan.bake, verdicts)


def _wait_or_give_up(plan: Plan, status: Status, now: datetime, patience: timedelta, verdicts: list[Verdict]) -> Transition:
    open_ones = [one for one in verdicts if not one.passed and one.check != "performance"]
    if now - (status.started or now) < patience:
        return _stay(status, "wait", status.state, _told(open_ones), verdicts)
    reason = f"gave up: {_told(open_ones)}"
    if plan.on_inconclusive == "hold":
        return _stay(status, "hold", State.HELD, reason, verdicts)
    return _back(plan, status, "roll_back", State.ROLLED_BACK, reason, verdicts)


def _back(plan: Plan, status: Status, act: Act, state: State, reason: str, verdicts: list[Verdict]) -> Transition:
    """All traffic to the champion; without one there is nothing to go back to, so what serves goes on serving and is held."""
    if plan.champion is None and status.state is State.BAKING:
        return _stay(status, "hold", State.HELD, f"{reason}; there is no champion to return to", verdicts)
    weights = {} if plan.champion is None else {plan.champion: 100}
    return Transition(act=act, state=state, step=status.step, weights=weights, reason=reason, verdicts=verdicts)


def _stay(status: Status, act: Act, state: State, reason: str, verdicts: list[Verdict]) -> Transition:
    return Transition(act=act, state=state, step=status.step, weights=status.weights, reason=reason, verdicts=verdicts)


def _told(verdicts: list[Verdict]) -> str:
    return "; ".join(f"{verdict.check} {verdict.outcome}: {verdict.reason}" for verdict in verdicts) or "nothing to wait for"
