"""Signals that are facts (age, volume, external), raised by whoever learns of them: one open row per cause, noted in the ledger.

Monitoring raises the measured ones itself (monitoring/signals.py). Each function belongs to the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from include.lifecycle.database import lock_model
from include.lifecycle.ledger import Entry
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import signals

_ROWS = signals.c


@dataclass(frozen=True)
class Fact:
    """What asks for a training. `cause` starts with its kind, as in `age:champion`; `effect` is how strongly, in its own unit."""

    model: str
    cause: str
    effect: float
    reason: str
    version: int | None = None
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Kind of the signal: the cause's word before the colon."""
        return self.cause.partition(":")[0]


def raise_fact(rt: Runtime, connection: Connection, fact: Fact, *, actor: str, adds: bool = False) -> tuple[int, bool]:
    """Open the signal, or bring its open row up to date; returns its id, and whether it is a new one.

    With `adds` the effect is added to that of the open row: each time counts (volume, external); else it replaces it (age).
    """
    lock_model(connection, fact.model)
    now = rt.clock.now()
    open_row = (_ROWS.model == fact.model) & (_ROWS.kind == fact.kind) & (_ROWS.cause == fact.cause) & (_ROWS.state == "open")
    effect = _ROWS.effect + fact.effect if adds else fact.effect
    evidence = {"reason": fact.reason} | fact.evidence
    fresh = {"effect": effect, "version": fact.version, "last_seen": now, "evidence": evidence}
    found = connection.execute(update(signals).where(open_row).values(fresh).returning(_ROWS.id)).scalar_one_or_none()
    if found is not None:
        return int(found), False
    values = {"model": fact.model, "kind": fact.kind, "cause": fact.cause, "severity": "act", "first_seen": now}
    values |= fresh | {"effect": fact.effect}
    new = int(connection.execute(insert(signals).values(values).returning(_ROWS.id)).scalar_one())
    _note(
        rt, connection, fact, f"opened signal {fact.cause}", fact.reason, actor, {"signal": new, "effect": fact.effect} | evidence
    )
    return new, True


def resolve(
    rt: Runtime,
    connection: Connection,
    model: str,
    kinds: Collection[str],
    reason: str,
    *,
    actor: str,
    until: datetime | None = None,
) -> int:
    """Close the model's open signals of these kinds as resolved, those last seen before `until`; returns how many there were."""
    chosen = (_ROWS.model == model) & _ROWS.kind.in_(kinds) & (_ROWS.state == "open")
    if until is not None:
        chosen &= _ROWS.last_seen < until
    closed = connection.execute(
        update(signals).where(chosen).values(state="resolved").returning(_ROWS.id, _ROWS.cause, _ROWS.effect)
    ).all()
    for row in closed:
        fact = Fact(model, row.cause, row.effect, reason)
        _note(rt, connection, fact, f"resolved signal {row.cause}", reason, actor, {"signal": row.id, "effect": row.effect})
    return len(closed)


def open_kinds(connection: Connection) -> dict[str, set[str]]:
    """Kinds of open signals by model."""
    query = select(_ROWS.model, func.array_agg(_ROWS.kind.distinct())).where(_ROWS.state == "open").group_by(_ROWS.model)
    return {model: set(kinds) for model, kinds in connection.execute(query)}


def _note(rt: Runtime, connection: Connection, fact: Fact, act: str, reason: str, actor: str, evidence: dict[str, Any]) -> None:
    entry = Entry(
        model=fact.model, kind="signal", act=act, reason=reason, actor=actor, version_before=fact.version, evidence=evidence
    )
    rt.ledger.write(entry, connection)
