"""What checks may know of the model's earlier windows: when its version started, which causes stand open, the season."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from include.lifecycle.monitoring.inputs.season import Season, Span
from include.lifecycle.monitoring.inputs.seasonal import null_span
from include.lifecycle.monitoring.kinds import COVARIATE, DATA_FAULT, EQUIPMENT, POPULATION, SECURITY, column_of
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.spec import ModelSpec
from include.lifecycle.storage import Storage
from include.lifecycle.tables import signals, windows

_OF_A_COLUMN = (DATA_FAULT, COVARIATE, POPULATION, EQUIPMENT)
"""Signals whose windows are no reference for their column."""
SEASONAL = "seasonal"
"""Member of `windows.measurements` with the window's distances to its season, by column."""


@dataclass(frozen=True)
class Past:
    """`started`: start of the first measured window of each version that was measured before; `open_causes`: open signals."""

    started: dict[int, datetime]
    open_causes: frozenset[str] = frozenset()
    season: Season | None = None

    def place(self, version: int, window: Window) -> int:
        """How many windows of that length lie between the version's start and this one; 0 for its first."""
        if not window.length:
            return 0
        since = min(self.started.get(version, window.start), window.start)
        return round((window.start - since) / window.length)


def read_past(connection: Connection, spec: ModelSpec, storage: Storage, now: datetime) -> Past:
    """The past of one model as the tables `windows` and `signals` and its stored counts tell it at `now`."""
    started = select(windows.c.version, func.min(windows.c.window_start)).where(windows.c.model == spec.name)
    causes = select(signals.c.cause).where(signals.c.model == spec.name, signals.c.state == "open")
    season = None
    asked = spec.monitoring.reference != "training" or spec.monitoring.creep.weeks > 0
    if asked and spec.monitoring.window_by == "time":  # windows by count or labels have no hours of their own
        season = Season(storage, spec.name, _spans(connection, spec.name), _recorded(connection, spec, now))
    return Past(
        {int(version): start for version, start in connection.execute(started.group_by(windows.c.version))},
        frozenset(connection.execute(causes).scalars()),
        season,
    )


def _spans(connection: Connection, model: str) -> list[Span]:
    kinds = (*_OF_A_COLUMN, SECURITY)
    query = select(signals).where(signals.c.model == model, signals.c.kind.in_(kinds))
    found = []
    for row in connection.execute(query).mappings():
        column = "" if row["kind"] == SECURITY else column_of(row["cause"])
        found.append(Span(column, row["first_seen"], None if row["state"] == "open" else row["last_seen"]))
    return found


def _recorded(connection: Connection, spec: ModelSpec, now: datetime) -> dict[datetime, dict[str, float]]:
    """Of the newest revision of the version that answered most in each window."""
    told = windows.c.measurements[SEASONAL]
    query = select(windows.c.window_start, told).where(windows.c.model == spec.name, told.is_not(None))
    query = query.where(windows.c.window_start >= now - null_span(spec)).order_by(windows.c.rows, windows.c.revision)
    found: dict[datetime, Any] = {start: plain for start, plain in connection.execute(query) if plain}
    return found
