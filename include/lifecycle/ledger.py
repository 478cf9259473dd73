"""The decision ledger: every automatic decision and every act on the outside world, append-only, with its evidence.

An act is two rows with one idempotency key: `intended` before it, `done` or `failed` after it was read back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, Engine, RowMapping, select
from sqlalchemy.dialects.postgresql import insert

from include.lifecycle.clock import Clock
from include.lifecycle.database import transaction
from include.lifecycle.tables import ledger
from include.lifecycle.verdicts import Outcome

Phase = Literal["noted", "intended", "done", "failed"]
KINDS = (
    *("training", "gate", "rollout", "promotion", "rollback", "retirement", "retention", "replay"),
    *("signal", "decision", "approval", "freeze", "alert", "drill", "foreign_change"),
)
"""What an entry may be about."""


class Entry(BaseModel):
    """What one ledger row says. `kind` is the topic (one of KINDS), `act` the verb phrase, `reason` one sentence for a person."""

    model_config = ConfigDict(frozen=True)

    model: str
    kind: str
    act: str
    reason: str
    actor: str
    phase: Phase = "noted"
    verdict: Outcome | None = None
    version_before: int | None = None
    version_after: int | None = None
    snapshot_id: str | None = None
    spec_hash: str | None = None
    run_id: str | None = None
    idempotency_key: str | None = None
    evidence: dict[str, Any] = {}


@dataclass(frozen=True)
class Ledger:
    """Writes and reads ledger rows; times come from the clock."""

    engine: Engine
    clock: Clock

    def write(self, entry: Entry, connection: Connection | None = None) -> int:
        """Append one entry and return its id; with the same idempotency key and phase again, the first row's id.

        Pass the `connection` of a running transaction to make the entry part of it.
        """
        if connection is not None:
            return self._insert(connection, entry)
        with transaction(self.engine) as own:
            return self._insert(own, entry)

    def _insert(self, connection: Connection, entry: Entry) -> int:
        values = entry.model_dump(mode="json") | {"at": self.clock.now()}
        statement = (
            insert(ledger).values(values).on_conflict_do_nothing(constraint="ledger_once_per_phase").returning(ledger.c.id)
        )
        new_id = connection.execute(statement).scalar_one_or_none()
        if new_id is not None:
            return int(new_id)
        same = (ledger.c.idempotency_key == entry.idempotency_key) & (ledger.c.phase == entry.phase)
        return int(connection.execute(select(ledger.c.id).where(same)).scalar_one())

    def read(self, model: str, *, kind: str | None = None, until: datetime | None = None, limit: int = 200) -> list[RowMapping]:
        """Newest entries first, of one model, optionally of one kind and not after `until` (event time)."""
        query = select(ledger).where(ledger.c.model == model).order_by(ledger.c.id.desc()).limit(limit)
        if kind is not None:
            query = query.where(ledger.c.kind == kind)
        if until is not None:
            query = query.where(ledger.c.at <= until)
        with transaction(self.engine) as connection:
            return list(connection.execute(query).mappings())


class SilentLedger(Ledger):
    """A ledger that keeps nothing: for commands that only look, with the very functions that note what they do."""

    def write(self, entry: Entry, connection: Connection | None = None) -> int:
        """Write nothing; the id is 0."""
        return 0
