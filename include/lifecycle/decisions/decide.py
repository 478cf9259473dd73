"""The arbiter: claims a model's open signals, asks the policy, makes its answer a training request, a question, or "no, because".

Runs for all models in one task. The ledger gets an entry when a signal's decision changes or something is done, not on each look.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, RowMapping, select, update

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.decisions.facts import Survey, refresh_facts, survey
from include.lifecycle.decisions.history import open_signals, read_state, signal_view
from include.lifecycle.decisions.policy import Decision, SignalDecision, SignalView, decide_retraining
from include.lifecycle.decisions.questions import ask, expire_overdue, open_question, withdraw
from include.lifecycle.ledger import Entry
from include.lifecycle.results import Decisions
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import signals, training_requests
from include.lifecycle.training.requests import request_training

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Forced:
    """A person lifts the cautions for one decision; the name and the reason stand in request and ledger."""

    by: str
    reason: str


@dataclass
class _Look:
    """One model under its lock: what stands open, what was decided, and what was written."""

    spec: ModelSpec
    rt: Runtime
    run: RunContext
    connection: Connection
    forced: Forced | None
    written: list[int] = field(default_factory=list)

    @property
    def actor(self) -> str:
        """Who acts: the person who forces it, else the task."""
        return self.forced.by if self.forced else self.run.actor


def decide(specs: Sequence[ModelSpec], rt: Runtime, run: RunContext, *, forced: Forced | None = None) -> Decisions:
    """Decide on every open signal of these models, each model in a transaction of its own.

    Raises:
        Exception: no model could be decided on; the first one's error. One model's trouble, of whatever kind, stops no other.
    """
    with transaction(rt.engine) as connection:
        seen = survey(connection, rt)
    requested, entries, problems, looked_at = list[str](), list[int](), list[Exception](), 0
    for spec in specs:
        try:
            if not seen.concerns(spec):
                continue
            looked_at += 1
            with transaction(rt.engine) as connection:
                look = _Look(spec, rt, run, connection, forced)
                asked = _decide_model(look, seen)
        except Exception as problem:
            log.exception("no decision on %s", spec.name)
            problems.append(problem)
            continue
        entries += look.written
        if asked:
            requested.append(spec.name)
    if problems and len(problems) >= max(1, looked_at):
        raise problems[0]
    return Decisions(training_requested=requested, ledger_ids=entries)


def _decide_model(look: _Look, seen: Survey) -> bool:
    """Whether the train Dag should look: a training was requested that nobody has to approve first."""
    lock_model(look.connection, look.spec.name)
    question = open_question(look.connection, look.spec.name)
    if question is not None:
        expire_overdue(look.rt, look.run, look.connection, question, look.spec.retraining.answer_within)
    scheduled = refresh_facts(seen, look.spec, look.rt, look.run, look.connection)
    rows = look.connection.execute(open_signals(look.spec.name).with_for_update(skip_locked=True)).mappings().all()
    opened, now = [signal_view(row) for row in rows], look.rt.clock.now()
    state = read_state(look.connection, look.spec.name, opened, now)
    decision = decide_retraining(opened, state, look.spec, now, force=look.forced is not None)
    _settle_question(look, opened, decision)
    request_id = _request(look, opened, decision) if decision.accepts else None
    if decision.act in ("suggest", "approve"):
        ask(
            look.rt,
            look.connection,
            model=look.spec.name,
            decision=decision,
            opened=opened,
            actor=look.actor,
            request_id=request_id,
        )
    _record(look, rows, opened, decision, request_id)
    return scheduled or decision.act == "retrain"


def _settle_question(look: _Look, opened: Sequence[SignalView], decision: Decision) -> None:
    """Withdraw a question that is over: a training starts anyway, or nothing of what it asks about stands any more."""
    question = open_question(look.connection, look.spec.name)
    if question is None:
        return
    if question["kind"] == "approve":
        request = select(training_requests.c.state).where(training_requests.c.id == question["training_request_id"])
        if look.connection.execute(request).scalar() != "awaiting":
            withdraw(look.rt, look.connection, question, "its training started together with another one", actor=look.actor)
        return
    standing = {signal.id for signal in opened} & {told["signal"] for told in question["causes"].values()}
    if decision.accepts:
        withdraw(look.rt, look.connection, question, f"a training is requested without it: {decision.reason}", actor=look.actor)
    elif not standing:
        withdraw(look.rt, look.connection, question, "its signals are resolved", actor=look.actor)


def _record(
    look: _Look, rows: Sequence[RowMapping], opened: Sequence[SignalView], decision: Decision, request_id: int | None
) -> None:
    for row, signal in zip(rows, opened, strict=True):
        chosen = decision.by_signal[signal.id]
        if chosen.code == row["last_decision"]:
            continue
        taken = decision.accepts and chosen.act == decision.act
        accepted = {"state": "accepted", "training_request_id": request_id} if taken else {}
        values = {"last_decision": chosen.code, **accepted}
        look.connection.execute(update(signals).where(signals.c.id == signal.id).values(values))
        entry = _entry(look, signal, chosen, decision, request_id if taken else None)
        look.written.append(look.rt.ledger.write(entry, look.connection))


def _request(look: _Look, opened: Sequence[SignalView], decision: Decision) -> int:
    primary = next(signal for signal in opened if signal.id == decision.primary)
    accepted = [signal for signal in opened if decision.by_signal[signal.id].act == decision.act]
    cause: dict[str, Any] = {"cause": primary.cause, "kind": primary.kind, "effect": primary.effect, "severity": primary.severity}
    cause |= {"version": primary.version, "signals": {signal.cause: signal.id for signal in accepted}}
    reason = decision.reason
    if look.forced:
        cause |= {"forced_by": look.forced.by, "force": True}
        reason = f"{look.forced.by} forces it ({look.forced.reason}): {reason}"
    number = request_training(
        look.rt,
        look.connection,
        model=look.spec.name,
        source="signal",
        reason=reason,
        cause=cause,
        requested_by=look.actor,
        requested_at=look.rt.clock.now(),
    )
    if decision.act == "approve":
        look.connection.execute(update(training_requests).where(training_requests.c.id == number).values(state="awaiting"))
    return number


def _entry(look: _Look, signal: SignalView, chosen: SignalDecision, decision: Decision, request_id: int | None) -> Entry:
    evidence = decision.evidence | {"signal": signal.model_dump(mode="json"), "code": chosen.code}
    if request_id is not None:
        evidence |= {"training_request": request_id, "primary": signal.id == decision.primary}
    if look.forced:
        evidence |= {"forced_by": look.forced.by, "forced_because": look.forced.reason}
    return Entry(
        model=look.spec.name,
        kind="decision",
        act=f"{chosen.act} on {signal.cause}",
        reason=chosen.reason,
        actor=look.actor,
        version_before=signal.version,
        spec_hash=look.spec.digest,
        run_id=look.run.run_id,
        evidence=evidence,
    )
