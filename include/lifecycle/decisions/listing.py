"""What monitoring saw and what was decided, as people and other systems ask for it: windows, signals, health, decisions.

Read by the REST routes below /modelops/v1; nothing is written.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, RowMapping, Select, Table, exists, select
from sqlalchemy.dialects.postgresql import distinct_on

from include.lifecycle.monitoring.health import band
from include.lifecycle.tables import desired_traffic, ledger, signals, windows

Json = dict[str, Any]


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True)


class MeasuredWindow(_Told):
    """One revision of a measured window. `failed`, `inconclusive`: names of checks; `verdicts` only where they are asked for.

    `report`: the file name of Evidently's report, for `/models/<model>/reports/<name>`.
    """

    id: int
    version: int
    window_start: datetime
    window_end: datetime
    revision: int
    rows: int
    mature_rows: int
    health: float | None
    band: str | None
    health_parts: Json
    measurements: Json
    failed: list[str]
    inconclusive: list[str]
    report: str | None
    verdicts: list[Json] | None = None


class StandingSignal(_Told):
    """One signal with what `decide` last said of it (act and rule) and the training request that it led to."""

    id: int
    kind: str
    cause: str
    effect: float
    severity: str
    state: str
    version: int | None
    first_seen: datetime
    last_seen: datetime
    windows_failed: int
    last_decision: str | None
    training_request_id: int | None
    evidence: Json


class Health(_Told):
    """The champion's newest known health, its parts, what stands open, and the health of its windows before, newest first."""

    model: str
    version: int | None
    health: float | None
    band: str | None
    parts: Json
    window_start: datetime | None
    window_end: datetime | None
    open_signals: list[str]
    history: list[Json]


class DecisionMade(_Told):
    """One entry of the ledger about a decision, with the numbers, the state and the rules that it rests on."""

    id: int
    at: datetime
    act: str
    reason: str
    actor: str
    version: int | None
    evidence: Json


def knows(connection: Connection, model: str) -> bool:
    """Whether any window, signal or ledger entry is about the model."""
    of = [select(table.c.id).where(table.c.model == model) for table in (windows, signals, ledger)]
    return bool(connection.execute(select(exists(of[0]) | exists(of[1]) | exists(of[2]))).scalar())


def list_windows(
    connection: Connection,
    model: str,
    *,
    version: int | None = None,
    limit: int = 50,
    before: int | None = None,
    verdicts: bool = False,
) -> list[MeasuredWindow]:
    """Every revision of the measured windows, newest row first; `before`: only those with a lower id, to read on."""
    query = _page(windows, model, limit, before)
    if version is not None:
        query = query.where(windows.c.version == version)
    return [_window(row, verdicts=verdicts) for row in connection.execute(query).mappings()]


def list_signals(
    connection: Connection, model: str, *, state: str | None = None, limit: int = 50, before: int | None = None
) -> list[StandingSignal]:
    """Signals, newest first, of one state or of all."""
    query = _page(signals, model, limit, before)
    if state is not None:
        query = query.where(signals.c.state == state)
    return [StandingSignal.model_validate(dict(row)) for row in connection.execute(query).mappings()]


def list_decisions(connection: Connection, model: str, *, limit: int = 50, before: int | None = None) -> list[DecisionMade]:
    """What was decided about training, newest first: one entry whenever a signal's decision changed."""
    query = _page(ledger, model, limit, before).where(ledger.c.kind == "decision")
    return [
        DecisionMade.model_validate(dict(row) | {"version": row["version_before"]})
        for row in connection.execute(query).mappings()
    ]


def find_health(connection: Connection, model: str, *, limit: int = 50) -> Health:
    """How the champion stands, else the version of the newest window; each window by its newest revision."""
    champion = select(desired_traffic.c.champion).where(desired_traffic.c.model == model)
    version = connection.execute(champion).scalar()
    if version is None:
        newest = select(windows.c.version).where(windows.c.model == model).order_by(windows.c.window_start.desc()).limit(1)
        version = connection.execute(newest).scalar()
    query = select(windows).where(windows.c.model == model, windows.c.version == version)
    query = query.ext(distinct_on(windows.c.window_start, windows.c.window_end))
    query = query.order_by(windows.c.window_start.desc(), windows.c.window_end, windows.c.revision.desc()).limit(limit)
    rows = connection.execute(query).mappings().all()
    known = next((row for row in rows if row["health"] is not None), None)
    opened = select(signals.c.cause).where(signals.c.model == model, signals.c.state == "open").order_by(signals.c.cause)
    return Health(
        model=model,
        version=version,
        health=None if known is None else known["health"],
        band=None if known is None else band(known["health"]),
        parts={} if known is None else known["health_parts"],
        window_start=None if known is None else known["window_start"],
        window_end=None if known is None else known["window_end"],
        open_signals=list(connection.execute(opened).scalars()),
        history=[{"window_start": row["window_start"].isoformat(), "rows": row["rows"], "health": row["health"]} for row in rows],
    )


def _page(table: Table, model: str, limit: int, before: int | None) -> Select[Any]:
    query = select(table).where(table.c.model == model).order_by(table.c.id.desc()).limit(limit)
    return query if before is None else query.where(table.c.id < before)


def _window(row: RowMapping, *, verdicts: bool) -> MeasuredWindow:
    told: list[Json] = row["verdicts"]
    found = dict(row) | {
        "band": None if row["health"] is None else band(row["health"]),
        "failed": [one["check"] for one in told if one["outcome"] == "fail"],
        "inconclusive": [one["check"] for one in told if one["outcome"] == "inconclusive"],
        "report": Path(row["report"]).name if row["report"] else None,
        "verdicts": told if verdicts else None,
    }
    return MeasuredWindow.model_validate(found)
