"""Intended traffic: one desired_traffic row per model, read and written here; gateways and targets render what it says.

A revision counts each change of intent; `applied_revision` follows once the gateway reported that it does so.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import Connection, RowMapping, select
from sqlalchemy.dialects.postgresql import insert

from include.lifecycle.tables import desired_traffic


class Server(BaseModel):
    """The servers of one version: their loopback ports, and manifest digest and folder of what they load."""

    model_config = ConfigDict(frozen=True)

    ports: tuple[int, ...]
    digest: str
    folder: str

    @model_validator(mode="before")
    @classmethod
    def _one_port(cls, values: Any) -> Any:
        """A single server may be written `port`, as rows of an earlier release are."""
        if isinstance(values, dict) and "port" in values:
            return {name: value for name, value in values.items() if name != "port"} | {"ports": (values["port"],)}
        return values

    @property
    def port(self) -> int:
        """The first server's port."""
        return self.ports[0]


class Baseline(BaseModel):
    """A fresh server of the champion's version with `percent` of the traffic, which the champion's weight includes."""

    model_config = ConfigDict(frozen=True)

    percent: int = Field(ge=0, le=100)
    server: Server


class Mirror(BaseModel):
    """`percent` of the requests are copied to `version`; clients never see its answers."""

    model_config = ConfigDict(frozen=True)

    version: int
    percent: int = Field(ge=0, le=100)


class DesiredTraffic(BaseModel):
    """What the gateway is to do for one model: percent by version (sum 100), and where each version's server is.

    A version with weight 0 stays warm and is what the other arm fails over to when it is the champion. With `sticky`, the value
    of that request header decides the arm.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    champion: int | None
    weights: dict[int, int]
    servers: dict[int, Server]
    baseline: Baseline | None = None
    mirror: Mirror | None = None
    sticky: str | None = None
    revision: int = 0
    applied_revision: int | None = None

    @model_validator(mode="after")
    def _adds_up(self) -> DesiredTraffic:
        if any(weight < 0 for weight in self.weights.values()) or sum(self.weights.values()) != 100:
            raise ValueError(f"{self.model}: weights must be at least 0 and sum to 100 percent; got {self.weights}")
        missing = sorted(set(self.weights) - set(self.servers))
        if missing:
            raise ValueError(f"{self.model}: versions {missing} have a weight but no server; servers: {sorted(self.servers)}")
        if self.mirror is not None and self.mirror.version not in self.weights:
            raise ValueError(f"{self.model}: version {self.mirror.version} is mirrored to but has no weight (0 will do)")
        share = 0 if self.champion is None else self.weights.get(self.champion, 0)
        if self.baseline is not None and self.baseline.percent > share:
            raise ValueError(f"{self.model}: the baseline's {self.baseline.percent} % exceed the champion's {share} %")
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
