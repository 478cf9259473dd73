"""Rollouts as people and other systems ask for them: state, stage, weights, what was measured, votes, and every transition.

Read by `cli deployments` and the REST routes below /modelops/v1; nothing is written.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, RowMapping, select

from include.lifecycle.rollout.approving.ballot import read_ballot
from include.lifecycle.rollout.states import OPEN_STATES, Plan, State, Status
from include.lifecycle.rollout.telling.phrases import stage_told
from include.lifecycle.tables import ledger, rollouts

Json = dict[str, Any]
_ENVIRONMENT = {State.PLANNED: "staging", State.RUNNING: "canary", State.BAKING: "production", State.PROMOTED: "production"}


class Deployment(BaseModel):
    """One rollout. Times are wall times; `measurement` is that of the stage which is under way, or of the last one.

    `environment`: staging (checked, waits for approval), canary (a share of the traffic), production, or none.
    """

    model_config = ConfigDict(frozen=True)

    id: int
    model: str
    version: int
    champion: int | None
    strategy: str
    state: str
    environment: str
    open: bool
    stage: str
    stage_number: int | None
    stages: int
    weights: dict[int, int]
    reason: str
    paused: bool
    started: datetime | None
    since: datetime | None
    planned_at: datetime
    run_id: str | None
    requested_by: list[str]
    measurement: Json


class Approval(BaseModel):
    """Who had to say yes, and the answers. `result`: approved, refused, open, or not needed."""

    model_config = ConfigDict(frozen=True)

    level: str
    quorum: int
    seats: list[list[str]]
    why: str
    result: str
    votes: list[Json]


class Event(BaseModel):
    """One entry of the ledger about the rollout, with the verdicts that it rests on and the weights that it set."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    kind: str
    act: str
    phase: str
    actor: str
    reason: str
    verdict: str | None
    verdicts: list[Json] = Field(default_factory=list)
    weights: dict[int, int] = Field(default_factory=dict)


class DeploymentDetail(BaseModel):
    """One rollout with its approval and its history, oldest first. `verdicts` are those of the newest transition."""

    model_config = ConfigDict(frozen=True)

    deployment: Deployment
    plan: Json
    approval: Approval | None
    verdicts: list[Json]
    history: list[Event]


def list_deployments(
    connection: Connection, model: str | None = None, *, only_open: bool = False, limit: int = 50, before: int | None = None
) -> list[Deployment]:
    """The newest rollouts first, of one model or of all; `before`: only those with a lower id, to read on."""
    query = select(rollouts).order_by(rollouts.c.id.desc()).limit(limit)
    if model is not None:
        query = query.where(rollouts.c.model == model)
    if only_open:
        query = query.where(rollouts.c.state.in_(OPEN_STATES))
    if before is not None:
        query = query.where(rollouts.c.id < before)
    return [_deployment(row) for row in connection.execute(query).mappings()]


def find_deployment(connection: Connection, model: str, rollout_id: int) -> DeploymentDetail | None:
    """One rollout of the model with everything about it; None when the model has none of that number."""
    mine = (rollouts.c.id == rollout_id) & (rollouts.c.model == model)
    row = connection.execute(select(rollouts).where(mine)).mappings().first()
    if row is None:
        return None
    history = _history(connection, row)
    judged = next((event.verdicts for event in reversed(history) if event.verdicts), [])
    return DeploymentDetail(
        deployment=_deployment(row), plan=row["plan"], approval=_approval(connection, row), verdicts=judged, history=history
    )


def _deployment(row: RowMapping) -> Deployment:
    plan, status, state = Plan.model_validate(row["plan"]), Status.model_validate(row["status"]), State(row["state"])
    stage = plan.stage_at(status.step) if state is State.RUNNING else None
    return Deployment(
        id=row["id"],
        model=row["model"],
        version=row["version"],
        champion=row["champion"],
        strategy=row["strategy"],
        state=state.value,
        environment=_ENVIRONMENT.get(state, "none"),
        open=state.is_open,
        stage=stage_told(stage) if stage else "bake" if state is State.BAKING else "",
        stage_number=status.step + 1 if stage else None,
        stages=len(plan.stages),
        weights=status.weights,
        reason=row["reason"],
        paused=status.paused,
        started=status.started,
        since=status.since,
        planned_at=row["wall_at"],
        run_id=row["run_id"],
        requested_by=plan.requested_by,
        measurement=status.measurement.model_dump(mode="json", exclude_none=True),
    )


def _approval(connection: Connection, row: RowMapping) -> Approval | None:
    ballot = read_ballot(connection, row["id"])
    if ballot is None:
        return None
    return Approval(
        level=ballot.need.level,
        quorum=ballot.need.quorum,
        seats=[seat.users for seat in ballot.need.seats],
        why=ballot.need.why,
        result="not needed" if ballot.need.level == "none" else ballot.result,
        votes=[vote.model_dump(mode="json") for vote in ballot.votes],
    )


def _history(connection: Connection, row: RowMapping) -> list[Event]:
    """The ledger's entries whose idempotency key names the rollout."""
    mine = (ledger.c.model == row["model"]) & ledger.c.idempotency_key.startswith(f"rollout:{row['id']}:")
    found = connection.execute(select(ledger).where(mine).order_by(ledger.c.id)).mappings()
    return [_event(entry) for entry in found]


def _event(entry: RowMapping) -> Event:
    told: Json = entry["evidence"]
    names = ("wall_at", "kind", "act", "phase", "actor", "reason", "verdict")
    plain = {name.removeprefix("wall_"): entry[name] for name in names}
    return Event(
        **plain, verdicts=told.get("verdicts") or told.get("checks") or told.get("tests") or [], weights=told.get("weights") or {}
    )
