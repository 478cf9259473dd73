"""A/B and A/A tests as people look at them: which are open, how each stands, how it ended. Reads rows only."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import RowMapping, select

from include.lifecycle.database import transaction
from include.lifecycle.rollout.evidence import ExperimentEvidence, Measurement
from include.lifecycle.rollout.judging.experiment import check_experiment, check_sample_ratio
from include.lifecycle.rollout.states import Plan, State, Status
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import experiments, rollouts
from include.lifecycle.verdicts import Verdict

KINDS = ("ab_test", "aa_test")


class ExperimentStanding(BaseModel):
    """One test: the rollout's state, what was agreed, what was measured last (None: nothing yet) and how that is judged."""

    rollout_id: int
    model: str
    kind: str
    version: int
    champion: int | None
    state: str
    reason: str
    since: datetime | None
    elapsed_seconds: float
    agreed: dict[str, Any]
    evidence: ExperimentEvidence | None
    verdicts: list[Verdict]


def experiment_standings(rt: Runtime, *, model: str | None = None, closed: bool = False) -> list[ExperimentStanding]:
    """Open tests, newest first; with `closed` the ended ones, too."""
    query = select(rollouts, experiments.c.evidence).outerjoin(experiments, experiments.c.rollout_id == rollouts.c.id)
    query = query.where(rollouts.c.strategy.in_(KINDS)).order_by(rollouts.c.id.desc())
    if model is not None:
        query = query.where(rollouts.c.model == model)
    with transaction(rt.engine) as connection:
        found = [_standing(row) for row in connection.execute(query).mappings()]
    return [one for one in found if closed or State(one.state).is_open]


def _standing(row: RowMapping) -> ExperimentStanding:
    plan, status = Plan.model_validate(row["plan"]), Status.model_validate(row["status"])
    evidence = None if row["evidence"] is None else ExperimentEvidence.model_validate(row["evidence"])
    elapsed = _elapsed(row, status)
    if evidence is not None:
        evidence = evidence.model_copy(update={"detail": evidence.detail | {"elapsed_seconds": round(elapsed)}})
    seen = Measurement(experiment=evidence)
    return ExperimentStanding(
        rollout_id=row["id"],
        model=row["model"],
        kind=row["strategy"],
        version=row["version"],
        champion=row["champion"],
        state=row["state"],
        reason=row["reason"],
        since=status.since,
        elapsed_seconds=round(elapsed, 1),
        agreed={} if plan.ab_test is None else plan.ab_test.model_dump(mode="json"),
        evidence=evidence,
        verdicts=[check_experiment(plan, seen), check_sample_ratio(plan, seen)],
    )


def _elapsed(row: RowMapping, status: Status) -> float:
    """Wall time of the test's stage; a test that left it lasted as long as it was measured."""
    if row["state"] == State.RUNNING.value and status.since is not None:
        return (datetime.now(UTC) - status.since).total_seconds()
    told = {} if row["evidence"] is None else row["evidence"].get("detail", {})
    if "started" not in told:
        return 0.0
    return (datetime.fromisoformat(told["measured_at"]) - datetime.fromisoformat(told["started"])).total_seconds()
