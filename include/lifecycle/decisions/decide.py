"""The arbiter: claims each model's open signals, asks the policy, makes its answer a training request, an alert or "no, because".

Runs for all models in one task. The ledger gets an entry when a signal's decision changes or something is done, not on each look.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, update

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.decisions.history import open_signals, read_state, signal_view
from include.lifecycle.decisions.policy import Decision, SignalDecision, SignalView, decide_retraining
from include.lifecycle.errors import LifecycleError
from include.lifecycle.ledger import Entry
from include.lifecycle.results import Decisions
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import signals
from include.lifecycle.training.requests import request_training

log = logging.getLogger(__name__)


def decide(specs: Sequence[ModelSpec], rt: Runtime, run: RunContext) -> Decisions:
    """Decide on every open signal of these models, each model in a transaction of its own.

    Raises:
        LifecycleError: no model could be decided on; the first one's error. One model's trouble does not stop the others.
    """
    requested, entries, problems = list[str](), list[int](), list[LifecycleError]()
    for spec in specs:
        try:
            with transaction(rt.engine) as connection:
                asked, written = _decide_model(spec, rt, run, connection)
        except LifecycleError as problem:
            log.exception("no decision on %s", spec.name)
            problems.append(problem)
            continue
        entries += written
        if asked:
            requested.append(spec.name)
    if problems and len(problems) == len(specs):
        raise problems[0]
    return Decisions(training_requested=requested, ledger_ids=entries)


def _decide_model(spec: ModelSpec, rt: Runtime, run: RunContext, connection: Connection) -> tuple[bool, list[int]]:
    """Whether a training was requested, and the ledger entries written."""
    lock_model(connection, spec.name)
    rows = connection.execute(open_signals(spec.name).with_for_update(skip_locked=True)).mappings().all()
    if not rows:
        return False, []
    opened, now = [signal_view(row) for row in rows], rt.clock.now()
    decision = decide_retraining(opened, read_state(connection, spec.name, opened, now), spec, now)
    request_id = _request(spec, rt, run, connection, opened, decision) if decision.act == "retrain" else None
    written = []
    for row, signal in zip(rows, opened, strict=True):
        chosen = decision.by_signal[signal.id]
        if chosen.code == row["last_decision"]:
            continue
        accepted = {"state": "accepted", "training_request_id": request_id} if chosen.act == "retrain" else {}
        connection.execute(update(signals).where(signals.c.id == signal.id).values(last_decision=chosen.code, **accepted))
        written.append(rt.ledger.write(_entry(spec, run, signal, chosen, decision, request_id), connection))
    return request_id is not None, written


def _request(
    spec: ModelSpec, rt: Runtime, run: RunContext, connection: Connection, opened: Sequence[SignalView], decision: Decision
) -> int:
    primary = next(signal for signal in opened if signal.id == decision.primary)
    accepted = [signal for signal in opened if decision.by_signal[signal.id].act == "retrain"]
    cause: dict[str, Any] = {"cause": primary.cause, "kind": primary.kind, "effect": primary.effect, "severity": primary.severity}
    cause |= {"version": primary.version, "signals": {signal.cause: signal.id for signal in accepted}}
    return request_training(
        rt,
        connection,
        model=spec.name,
        source="signal",
        reason=decision.reason,
        cause=cause,
        requested_by=run.actor,
        requested_at=rt.clock.now(),
    )


def _entry(
    spec: ModelSpec, run: RunContext, signal: SignalView, chosen: SignalDecision, decision: Decision, request_id: int | None
) -> Entry:
    evidence = decision.evidence | {"signal": signal.model_dump(mode="json"), "code": chosen.code}
    if chosen.act == "retrain":
        evidence |= {"training_request": request_id, "primary": signal.id == decision.primary}
    return Entry(
        model=spec.name,
        kind="decision",
        act=f"{chosen.act} on {signal.cause}",
        reason=chosen.reason,
        actor=run.actor,
        version_before=signal.version,
        spec_hash=spec.digest,
        run_id=run.run_id,
        evidence=evidence,
    )
