"""What the policy must know of the past, read from the tables: requests, rollouts, spent causes, fruitless trainings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, func, select

from include.lifecycle.decisions.automation import stopped
from include.lifecycle.decisions.questions import declined_effects
from include.lifecycle.decisions.vocabulary import RetrainingState, SignalView, lower_bound
from include.lifecycle.rollout.states import OPEN_STATES
from include.lifecycle.rollout.ways_back.freezing import frozen_reason
from include.lifecycle.tables import candidates, desired_traffic, rollouts, signals, training_requests
from include.lifecycle.training.permission import trainings_in_month

_UNFINISHED = ("awaiting", "open", "claimed")
_LOOK_BACK = 10


def open_signals(model: str) -> Select[Any]:
    """The query for a model's open signals, oldest first."""
    return select(signals).where(signals.c.model == model, signals.c.state == "open").order_by(signals.c.id)


def signal_view(row: RowMapping) -> SignalView:
    """The policy's view of a row of `signals`."""
    evidence = row["evidence"]
    return SignalView(
        id=row["id"],
        kind=row["kind"],
        cause=row["cause"],
        effect=row["effect"],
        lower=lower_bound(row["effect"], evidence),
        severity=row["severity"],
        version=row["version"],
        windows_failed=row["windows_failed"],
        spanning=timedelta(seconds=float(evidence.get("spanning_seconds", 0.0))),
        reason=str(evidence.get("reason", "")),
    )


def read_state(connection: Connection, model: str, opened: Sequence[SignalView], now: datetime) -> RetrainingState:
    """The model's state, as far as it bears on these open signals; read it under the lock, or in one snapshot of the database."""
    requests = training_requests.c
    asked = select(func.max(requests.requested_at)).where(requests.model == model, requests.state != "refused")
    versions = {signal.cause: signal.version for signal in opened}
    serving = select(desired_traffic.c.champion).where(desired_traffic.c.model == model)
    return RetrainingState(
        last_request_at=connection.execute(asked).scalar(),
        trainings_this_month=trainings_in_month(connection, model, now),
        fruitless=_fruitless(connection, model),
        spent=_spent(connection, model, versions),
        declined=declined_effects(connection, model, opened),
        champion=connection.execute(serving).scalar(),
        open_request=_open_request(connection, model),
        open_rollout=_open_rollout(connection, model),
        stopped=stopped(connection, model),
        kill_switch=frozen_reason(connection, model),
    )


def _open_request(connection: Connection, model: str) -> str | None:
    requests = training_requests.c
    query = select(requests.id, requests.state).where(requests.model == model, requests.state.in_(_UNFINISHED)).limit(1)
    row = connection.execute(query).first()
    if row is None:
        return None
    return f"training request {row.id} {'waits for approval' if row.state == 'awaiting' else f'is {row.state}'}"


def _open_rollout(connection: Connection, model: str) -> str | None:
    rolling = select(rollouts.c.id, rollouts.c.version, rollouts.c.state)
    row = connection.execute(rolling.where(rollouts.c.model == model, rollouts.c.state.in_(OPEN_STATES))).first()
    if row is not None:
        return f"rollout {row.id} of version {row.version} is {row.state}"
    waiting = select(candidates.c.version).where(candidates.c.model == model, candidates.c.state == "open")
    version = connection.execute(waiting.limit(1)).scalar()
    return None if version is None else f"candidate version {version} waits for its rollout"


def _spent(connection: Connection, model: str, versions: dict[str, int | None]) -> dict[str, float]:
    """Effect at which each cause was last trained for, where the version that showed it is the one that shows it now.

    A training that failed answered nothing: it counts as fruitless, which bounds the tries, and does not spend its cause.
    """
    asked = signals.outerjoin(training_requests, signals.c.training_request_id == training_requests.c.id)
    query = select(signals.c.cause, signals.c.version, signals.c.effect).select_from(asked)
    query = query.where(
        signals.c.model == model,
        signals.c.state == "accepted",
        signals.c.cause.in_(list(versions)),
        func.coalesce(training_requests.c.state, "done") != "failed",
    )
    rows = connection.execute(query.order_by(signals.c.id))
    return {row.cause: float(row.effect) for row in rows if row.version == versions[row.cause]}


def _fruitless(connection: Connection, model: str) -> int:
    """Newest trainings for signals, in a row, that promoted no version; one whose rollout is still to come is not counted."""
    requests = training_requests.c
    ended = select(requests.version).where(
        requests.model == model, requests.source == "signal", requests.state.in_(("done", "failed"))
    )
    versions = connection.execute(ended.order_by(requests.id.desc()).limit(_LOOK_BACK)).scalars().all()
    tried = select(rollouts.c.version, rollouts.c.state).where(rollouts.c.model == model)
    outcome = {row.version: row.state for row in connection.execute(tried.order_by(rollouts.c.id))}
    waiting = select(candidates.c.version).where(candidates.c.model == model, candidates.c.state.in_(_UNFINISHED))
    pending = set(connection.execute(waiting).scalars())
    count = 0
    for version in versions:
        if version is not None and version not in outcome and version in pending:
            continue
        if outcome.get(version or 0) in ("promoted", *OPEN_STATES):
            break
        count += 1
    return count
