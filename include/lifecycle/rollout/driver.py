"""Drives one rollout by one look: lease, read, measure, step (pure), intent, act, read back, outcome. Called about once a second.

All state is in the rollouts row, so any process may make the next call; a kill between any two effects is finished by it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, RowMapping

from include.lifecycle.alerting.events import tell_rollout
from include.lifecycle.database import transaction
from include.lifecycle.errors import GatewayRejectedError, LeaseLostError, LifecycleError
from include.lifecycle.ledger import Entry, Phase
from include.lifecycle.results import RolloutOutcome
from include.lifecycle.rollout import machine
from include.lifecycle.rollout.circumstances import asked_of, circumstances, evidence_of, settle
from include.lifecycle.rollout.effects import Effects
from include.lifecycle.rollout.gateway.traffic import read_desired
from include.lifecycle.rollout.hands import Hands, usual_hands
from include.lifecycle.rollout.judging.measurements import PerformanceReader, measure, start_of_step
from include.lifecycle.rollout.lease import Lease, rollout_row, take_lease
from include.lifecycle.rollout.sources.base import Look, read_sources
from include.lifecycle.rollout.states import Command, Measurement, Plan, State, Status, Transition
from include.lifecycle.rollout.status_after import after, while_frozen
from include.lifecycle.rollout.watchdog.journal import clear, renew
from include.lifecycle.rollout.ways_back.freezing import frozen_reason
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import candidates
from include.lifecycle.verdicts import worst

REFUSALS = 3  # so often may the gateway refuse a step before the rollout goes back


def drive_once(rt: Runtime, rollout_id: int, holder: str, *, hands: Hands | None = None) -> RolloutOutcome | None:
    """Look once and act at most once; None while the rollout goes on, its outcome when it is closed.

    `holder` names the driving process. Raises LeaseLostError when another one drives (ask again later), and the retryable
    SourceUnavailableError or GatewayRejectedError when something is down: call again, nothing is lost.
    """
    row, lease = take_lease(rt, rollout_id, holder)
    if lease is None:
        return outcome_of(row)
    drive = Drive.of(rt, row, lease, hands)
    pending = drive.status.pending
    if pending is None:
        drive = drive.look()
    elif (wish := asked_of(row)) is not None and wish.wish == "abort" and _is_forward(pending):
        drive = drive.intend(machine.abort(drive.plan, drive.status, wish.told), answered=wish)
    elif _is_forward(pending) and (frozen := _frozen(rt, drive.plan.model)):
        if pending.act == "confirm":  # all traffic is there already; the old champion stays warm until the freeze ends
            return None
        drive = drive.intend(machine.abort(drive.plan, drive.status, f"{frozen}; {pending.act} was under way"))
    return drive.act() if drive.status.pending is not None else None


def abort_rollout(rt: Runtime, rollout_id: int, holder: str, reason: str, *, hands: Hands | None = None) -> RolloutOutcome:
    """Take the rollout over, whoever drives it, and give the traffic back to the champion; a closed one stays as it is."""
    return _end(rt, rollout_id, holder, reason, hands, before_traffic=State.ABORTED)


def close_rollout(rt: Runtime, rollout_id: int, holder: str, reason: str, *, hands: Hands | None = None) -> RolloutOutcome:
    """Refuse a rollout that never got traffic (serving check, approval): its server stops, its candidate is done.

    One that has traffic already is aborted instead; a closed one is left as it is.
    """
    return _end(rt, rollout_id, holder, reason, hands, before_traffic=State.REFUSED)


def _end(rt: Runtime, rollout_id: int, holder: str, reason: str, hands: Hands | None, *, before_traffic: State) -> RolloutOutcome:
    """Take the rollout over and end it; `before_traffic` is the state of one that is still planned."""
    row, lease = take_lease(rt, rollout_id, holder, force=True)
    if lease is None:
        return outcome_of(row)
    drive = Drive.of(rt, row, lease, hands)
    transition = machine.abort(drive.plan, drive.status, reason)
    if drive.status.state is State.PLANNED:
        transition = transition.model_copy(update={"state": before_traffic})
    return drive.intend(transition).act() or outcome_of(row)


def outcome_of(row: RowMapping) -> RolloutOutcome:
    """How a rollout's row says that it ended (or stands)."""
    return RolloutOutcome(
        rollout_id=row["id"], model=row["model"], version=row["version"], state=row["state"], reason=row["reason"]
    )


@dataclass(frozen=True)
class Drive:
    """One look at one rollout under one lease."""

    rt: Runtime
    hands: Hands
    lease: Lease
    plan: Plan
    status: Status

    @classmethod
    def of(cls, rt: Runtime, row: RowMapping, lease: Lease, hands: Hands | None) -> Drive:
        """The rollout as its row tells it."""
        plan, status = Plan.model_validate(row["plan"]), Status.model_validate(row["status"])
        return cls(rt, hands or usual_hands(rt), lease, plan, status)

    def look(self) -> Drive:
        """Measure, decide, and store what was seen; a decision to act is stored as an intent."""
        status, seen, now = self.status, self.status.measurement, datetime.now(UTC)
        if status.state is not State.PLANNED:
            seen, cursor = measure(self.plan, status, self.rt.settings.gateway_log, self._ports(), self._performance())
            seen = read_sources(self.hands.sources, Look(self.rt, self.plan, status, status.measurement, seen, time.time()))
            seen = seen.model_copy(update=evidence_of(self.rt, self.hands, self.lease.rollout_id, self.plan, status))
            status = status.model_copy(update={"measurement": seen, "cursor": cursor})
        seen = seen.model_copy(update=circumstances(self.rt, self.plan, self.lease.rollout_id))
        status = status.model_copy(update=while_frozen(status, seen.frozen, now))
        transition = machine.step(self.plan, status, seen, now)
        drive = replace(self, status=status.model_copy(update={"reason": transition.reason}))
        if transition.act != "wait":
            return drive.intend(transition, answered=seen.command)
        with transaction(self.rt.engine) as connection:
            drive._save(connection)
            drive._answer(connection, seen.command, transition)
        self._renew()
        return drive

    def intend(self, transition: Transition, answered: Command | None = None) -> Drive:
        """Store the transition as pending, with its ledger entry, before anything outside is touched; `answered` is the wish that
        it was decided upon, which is settled in the same transaction.
        """
        update = {"pending": transition, "attempts": 0, "sequence": self.status.sequence + 1}
        drive = replace(self, status=self.status.model_copy(update=update))
        with transaction(self.rt.engine) as connection:
            drive._save(connection)
            drive._note(connection, transition, "intended", transition.reason)
            drive._answer(connection, answered, transition)
        return drive

    def act(self) -> RolloutOutcome | None:
        """Carry the pending transition out and store its outcome. What cannot be done forward is turned into a way back."""
        transition = self.status.pending
        if transition is None:
            return None
        if transition.act == "shift_traffic":  # before any traffic: who dies in the act is watched, too
            self._renew(State.RUNNING)
        elif _is_forward(transition):  # something is down, but somebody drives
            self._renew()
        try:
            Effects(self.rt, self.hands, self.lease, self.plan, self.status).carry_out(transition)
        except GatewayRejectedError as problem:
            self._refused(transition, problem)
            raise
        except LeaseLostError:  # whoever took over finishes the act, and says so
            raise
        except LifecycleError as problem:
            if problem.retryable or not _is_forward(transition):
                raise
            self._turn_back(transition, str(problem))
            return None
        return self._finish(transition)

    def _finish(self, transition: Transition) -> RolloutOutcome | None:
        update = after(self.status, transition, datetime.now(UTC))
        if transition.act not in ("pause", "resume", "hold"):
            cursor = start_of_step(self.rt.settings.gateway_log, time.time())
            update |= {"measurement": Measurement(), "cursor": cursor}
        drive = replace(self, status=self.status.model_copy(update=update))
        with transaction(self.rt.engine) as connection:
            # First, since it may take the lock of the model's alerts: nobody waits for that one with the row in hand.
            tell_rollout(connection, self.rt, self.lease.rollout_id, self.plan, drive.status)
            self._note(connection, transition, "done", transition.reason)
            drive._save(connection, closing=not transition.state.is_open)
            if not transition.state.is_open:
                drive._answer(connection, asked_of(rollout_row(connection, self.lease.rollout_id)), transition)
        drive._renew()
        return None if transition.state.is_open else drive._outcome()

    def _renew(self, ahead: State | None = None) -> None:
        """Tell the watchdog that the rollout is looked after (in `ahead`, if it is about to get there), or that it is over."""
        plan, settings, state = self.plan, self.rt.settings, ahead or self.status.state
        if state.is_open and state is not State.PLANNED:
            until = time.time() + plan.lease.total_seconds()
            renew(settings, plan, self.lease.rollout_id, self.lease.epoch, until=until, state=state.value)
        else:
            clear(settings, plan.model)

    def _refused(self, transition: Transition, problem: GatewayRejectedError) -> None:
        """Count refusals of a step forward, and turn back when there were too many."""
        attempts = self.status.attempts + 1
        if attempts >= REFUSALS and _is_forward(transition):
            self._turn_back(transition, str(problem))
            return
        with transaction(self.rt.engine) as connection:
            replace(self, status=self.status.model_copy(update={"attempts": attempts}))._save(connection)

    def _turn_back(self, transition: Transition, problem: str) -> None:
        with transaction(self.rt.engine) as connection:
            self._note(connection, transition, "failed", problem)
        back = machine.abort(self.plan, self.status, f"{transition.act} failed: {problem}")
        if back.act == "abort":
            back = back.model_copy(update={"act": "roll_back", "state": State.ROLLED_BACK})
        self.intend(back)

    def _answer(self, connection: Connection, wish: Command | None, transition: Transition) -> None:
        """Settle a person's wish: taken up by this transition, or noted with the reason why it changes nothing.

        An abort that took its place meanwhile is left for the next look.
        """
        if wish is None or not settle(connection, self.lease.rollout_id, wish):
            return
        if transition.act == "wait" or wish.told not in transition.reason:
            key = f"rollout:{self.lease.rollout_id}:wish:{wish.at.isoformat() if wish.at else wish.told}"
            told = f"{wish.told}; not now: {transition.reason}"
            self._note(connection, transition, "noted", told, key=key, act=f"decline to {wish.wish}")

    def _save(self, connection: Connection, *, closing: bool = False) -> None:
        status = self.status
        values: dict[str, Any] = {"state": status.state.value, "status": status.model_dump(mode="json"), "reason": status.reason}
        if closing:
            values |= {"finished_at": self.rt.clock.now(), "lease_holder": None, "lease_until": None}
            mine = (candidates.c.model == self.plan.model) & (candidates.c.version == self.plan.version)
            connection.execute(candidates.update().where(mine, candidates.c.state != "done").values(state="done"))
        self.lease.save(connection, **values)

    def _note(
        self, connection: Connection, transition: Transition, phase: Phase, reason: str, *, key: str = "", act: str = ""
    ) -> None:
        seen = self.status.measurement.model_dump(mode="json", exclude_none=True)
        # Performance without labels holds nothing back, so it is no reason to call the whole inconclusive.
        blocking = [one for one in transition.verdicts if one.failed or one.check != "performance"]
        verdicts = [verdict.model_dump(mode="json") for verdict in transition.verdicts]
        entry = Entry(
            model=self.plan.model,
            kind="rollout",
            act=act or transition.act,
            phase=phase,
            actor=f"rollout:{self.lease.rollout_id}",
            reason=reason,
            verdict=worst(blocking) if blocking else None,
            version_before=self.plan.champion,
            version_after=self.plan.version if _is_forward(transition) else self.plan.champion,
            spec_hash=self.plan.spec_hash or None,
            idempotency_key=key or f"rollout:{self.lease.rollout_id}:{self.status.sequence}",
            evidence={"weights": transition.weights, "step": transition.step, "verdicts": verdicts, "measurement": seen},
        )
        self.rt.ledger.write(entry, connection)

    def _ports(self) -> dict[int, tuple[int, ...]]:
        with transaction(self.rt.engine) as connection:
            desired = read_desired(connection, self.plan.model)
        return {} if desired is None else {version: server.ports for version, server in desired.servers.items()}

    def _performance(self) -> PerformanceReader | None:
        read = self.hands.performance
        return None if read is None else partial(read, self.rt, self.lease.rollout_id, self.plan)

    def _outcome(self) -> RolloutOutcome:
        plan, status = self.plan, self.status
        return RolloutOutcome(
            rollout_id=self.lease.rollout_id, model=plan.model, version=plan.version, state=status.state, reason=status.reason
        )


def _frozen(rt: Runtime, model: str) -> str:
    with transaction(rt.engine) as connection:
        return frozen_reason(connection, model)


def _is_forward(transition: Transition) -> bool:
    return transition.act in ("shift_traffic", "promote", "confirm")
