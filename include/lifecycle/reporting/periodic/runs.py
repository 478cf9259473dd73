"""Training runs as the ledger tells them: when each began and ended (wall time), what came of it, and why it was started."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from include.lifecycle.tables import ledger, rollouts
from include.lifecycle.training.permission import CONFIRM_ACT

REGISTERED, FAILED = "register version", "training failed"
_COLUMNS = (ledger.c.id, ledger.c.at, ledger.c.wall_at, ledger.c.act, ledger.c.run_id, ledger.c.reason, ledger.c.evidence)


@dataclass(frozen=True)
class TrainingRun:
    """One run: `at` is its end in event time, `seconds` its wall time from its first word (None where that is not known)."""

    run_id: str
    at: datetime
    source: str
    reason: str
    seconds: float | None
    version: int | None
    rollout: str | None

    @property
    def failed(self) -> bool:
        """Whether a task of it failed; a version that lost its comparison is no failure."""
        return self.version is None

    @property
    def outcome(self) -> str:
        """In words."""
        if self.failed:
            return "failed"
        return f"version {self.version}, {self.rollout.replace('_', ' ') if self.rollout else 'not rolled out'}"


def training_runs(connection: Connection, model: str, since: datetime, until: datetime) -> list[TrainingRun]:
    """Runs that ended in event time [since, until), oldest first; a run that failed and was repaired counts by its last word."""
    mine = (ledger.c.model == model) & (ledger.c.kind == "training") & ledger.c.run_id.is_not(None)
    ends = ((ledger.c.act == REGISTERED) & (ledger.c.phase == "done")) | (ledger.c.act == FAILED)
    query = select(*_COLUMNS, ledger.c.version_after).where(mine, ends, ledger.c.at >= since, ledger.c.at < until)
    last = {row["run_id"]: row for row in connection.execute(query.order_by(ledger.c.id)).mappings()}
    orders = _orders(connection, model, list(last))
    began = select(ledger.c.run_id, func.min(ledger.c.wall_at)).where(ledger.c.model == model, ledger.c.run_id.in_(list(last)))
    first: dict[str, datetime] = {row[0]: row[1] for row in connection.execute(began.group_by(ledger.c.run_id))}
    tried = select(rollouts.c.version, rollouts.c.state).where(rollouts.c.model == model).order_by(rollouts.c.id)
    states = {row.version: row.state for row in connection.execute(tried)}
    return [_run(row, orders.get(run_id), first.get(run_id), states) for run_id, row in last.items()]


def _orders(connection: Connection, model: str, run_ids: list[str]) -> dict[str, RowMapping]:
    query = select(*_COLUMNS).where(ledger.c.model == model, ledger.c.act == CONFIRM_ACT, ledger.c.run_id.in_(run_ids))
    return {row["run_id"]: row for row in connection.execute(query.order_by(ledger.c.id)).mappings()}


def _run(row: RowMapping, order: RowMapping | None, began: datetime | None, states: dict[int, str]) -> TrainingRun:
    told: dict[str, Any] = order["evidence"].get("order", {}) if order else {}
    version = row["version_after"] if row["act"] == REGISTERED else None
    return TrainingRun(
        run_id=row["run_id"],
        at=row["at"],
        source=str(told.get("source", "manual")),
        reason=str(told.get("reason", row["reason"])),
        seconds=(row["wall_at"] - began).total_seconds() if began and order else None,
        version=version,
        rollout=states.get(version) if version is not None else None,
    )
