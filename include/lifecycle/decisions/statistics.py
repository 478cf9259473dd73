"""The history of a model's trainings and what came of them, in numbers: by source and outcome, per month, how long, how often.

Read by `cli retraining MODEL history` and GET /modelops/v1/models/<model>/retraining; nothing is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, RowMapping, func, select

from include.lifecycle.rollout.states import OPEN_STATES
from include.lifecycle.tables import candidates, ledger, rollouts, training_requests
from include.lifecycle.training.permission import CONFIRM_ACT

OUTCOMES = ("promoted", "rolling_out", "not_promoted", "failed", "refused", "under_way")
"""What came of a training request, most wanted first."""


class Training(BaseModel):
    """One training request and what came of it (one of OUTCOMES). Times are event time; `seconds` wall time of its run."""

    model_config = ConfigDict(frozen=True)

    id: int
    requested_at: datetime
    source: str
    cause: str
    reason: str
    requested_by: str
    state: str
    outcome: str
    version: int | None
    run_id: str | None
    seconds: float | None


class RetrainingStatistics(BaseModel):
    """All trainings of a model in numbers. `days_between`: median event time between two that made a version."""

    model_config = ConfigDict(frozen=True)

    model: str
    requests: int
    by_source: dict[str, int]
    by_outcome: dict[str, int]
    by_month: dict[str, int]
    promoted_share: float | None
    days_between: float | None
    median_seconds: float | None
    last_promoted_at: datetime | None


def trainings_of(connection: Connection, model: str, *, limit: int | None = None, before: int | None = None) -> list[Training]:
    """The model's training requests, newest first."""
    query = select(training_requests).where(training_requests.c.model == model).order_by(training_requests.c.id.desc())
    if before is not None:
        query = query.where(training_requests.c.id < before)
    rows = connection.execute(query.limit(limit)).mappings().all()
    rolled = {row.version: row.state for row in _rollouts(connection, model)}
    seconds = _seconds(connection, model)
    return [_training(row, rolled, seconds) for row in rows]


def retraining_statistics(connection: Connection, model: str) -> RetrainingStatistics:
    """Numbers over all requests of the model."""
    found = trainings_of(connection, model)
    outcomes = Counter(one.outcome for one in found)
    ended = sum(outcomes[name] for name in ("promoted", "not_promoted", "failed"))
    made = sorted(one.requested_at for one in found if one.version is not None)
    gaps = [(later - earlier) / timedelta(days=1) for earlier, later in pairwise(made)]
    known = [one.seconds for one in found if one.seconds is not None]
    return RetrainingStatistics(
        model=model,
        requests=len(found),
        by_source=dict(sorted(Counter(one.source for one in found).items())),
        by_outcome={name: outcomes[name] for name in OUTCOMES if outcomes[name]},
        by_month=dict(sorted(Counter(f"{one.requested_at:%Y-%m}" for one in found).items())),
        promoted_share=outcomes["promoted"] / ended if ended else None,
        days_between=median(gaps) if gaps else None,
        median_seconds=median(known) if known else None,
        last_promoted_at=max((one.requested_at for one in found if one.outcome == "promoted"), default=None),
    )


def _rollouts(connection: Connection, model: str) -> Sequence[Any]:
    return connection.execute(
        select(rollouts.c.version, rollouts.c.state).where(rollouts.c.model == model).order_by(rollouts.c.id)
    ).all()


def _seconds(connection: Connection, model: str) -> dict[str, float]:
    """Wall seconds from confirming a run to its version's registration as a candidate."""
    confirmed = select(ledger.c.run_id, func.min(ledger.c.wall_at).label("begun"))
    confirmed = confirmed.where(ledger.c.model == model, ledger.c.kind == "training", ledger.c.act == CONFIRM_ACT)
    begun = confirmed.group_by(ledger.c.run_id).subquery()
    query = select(candidates.c.run_id, func.min(candidates.c.wall_at), func.min(begun.c.begun))
    query = query.select_from(candidates.join(begun, candidates.c.run_id == begun.c.run_id)).where(candidates.c.model == model)
    rows = connection.execute(query.group_by(candidates.c.run_id)).all()
    return {run: (ended - started).total_seconds() for run, ended, started in rows}


def _training(row: RowMapping, rolled: dict[int, str], seconds: dict[str, float]) -> Training:
    cause = str(row["cause"].get("cause") or row["source"])
    told = {"cause": cause, "outcome": _outcome(row, rolled), "seconds": seconds.get(row["run_id"] or "")}
    return Training.model_validate(dict(row) | told)


def _outcome(row: RowMapping, rolled: dict[int, str]) -> str:
    if row["state"] in ("failed", "refused"):
        return str(row["state"])
    if row["state"] != "done":
        return "under_way"
    state = rolled.get(row["version"] or 0)
    return "promoted" if state == "promoted" else "rolling_out" if state in OPEN_STATES else "not_promoted"
