"""Intended traffic: one desired_traffic row per model, read and written here; gateways and targets render what it says.

A revision counts each change of intent; `applied_revision` follows once the gateway reported that it does so.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from sqlalchemy import Connection, RowMapping, select
from sqlalchemy.dialects.postgresql import insert

from include.lifecycle.tables import desired_traffic


class Server(BaseModel):
    """One model server: loopback port, manifest digest and folder of the version that it loads."""

    model_config = ConfigDict(frozen=True)

    port: int
    digest: str
    folder: str


class DesiredTraffic(BaseModel):
    """What the gateway is to do for one model: percent by version (sum 100), and where each version's server is.

    A version with weight 0 stays warm and is what the other arm fails over to when it is the champion.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    champion: int | None
    weights: dict[int, int]
    servers: dict[int, Server]
    revision: int = 0
    applied_revision: int | None = None

    @model_validator(mode="after")
    def _adds_up(self) -> DesiredTraffic:
        if any(weight < 0 for weight in self.weights.values()) or sum(self.weights.values()) != 100:
            raise ValueError(f"{self.model}: weights must be at least 0 and sum to 100 percent; got {self.weights}")
        missing = sorted(set(self.weights) - set(self.servers))
        if missing:
            raise ValueError(f"{self.model}: versions {missing} have a weight but no server; servers: {sorted(self.servers)}")
        return self

    def same_intent(self, other: DesiredTraffic | None) -> bool:
        """Whether `other` asks for the same traffic, whatever its revision."""
        if other is None:
            return False
        mine, theirs = (one.model_dump(exclude={"revision", "applied_revision"}) for one in (self, other))
        return mine == theirs

    @property
    def applied(self) -> bool:
        """Whether the gateway reported this revision."""
        return self.revision > 0 and self.applied_revision == self.revision


def _from_row(row: RowMapping) -> DesiredTraffic:
    return DesiredTraffic.model_validate({name: row[name] for name in DesiredTraffic.model_fields})


def read_desired(connection: Connection, model: str) -> DesiredTraffic | None:
    """The model's row, or None when it never had traffic."""
    row = connection.execute(select(desired_traffic).where(desired_traffic.c.model == model)).mappings().first()
    return None if row is None else _from_row(row)


def read_all(connection: Connection) -> list[DesiredTraffic]:
    """Rows of all models, by name: what the gateway files are rendered from."""
    rows = connection.execute(select(desired_traffic).order_by(desired_traffic.c.model)).mappings()
    return [_from_row(row) for row in rows]


def write_desired(connection: Connection, desired: DesiredTraffic) -> DesiredTraffic:
    """Store a new intent with the next revision and return it; the same intent again keeps its revision.

    The caller holds `lock_model`, so that revisions of one model never race.
    """
    before = read_desired(connection, desired.model)
    if before is not None and desired.same_intent(before):
        return before
    after = desired.model_copy(
        update={
            "revision": (before.revision if before else 0) + 1,
            "applied_revision": before.applied_revision if before else None,
        }
    )
    values: dict[str, Any] = after.model_dump(mode="json") | {"wall_at": datetime.now(UTC)}
    statement = insert(desired_traffic).values(values)
    connection.execute(statement.on_conflict_do_update(index_elements=["model"], set_=values))
    return after


def mark_applied(connection: Connection, model: str, revision: int) -> None:
    """Remember that the gateway reported `revision`; an older revision never overwrites a newer one."""
    table = desired_traffic
    newer = (table.c.applied_revision.is_(None)) | (table.c.applied_revision < revision)
    statement = table.update().where(table.c.model == model, newer)
    connection.execute(statement.values(applied_revision=revision, applied_wall_at=datetime.now(UTC)))
