"""Which windows of event time are to be measured now, and their rows in the table `windows`: aligned, disjoint, finished.

A window is measured when it has ended, and again (a new revision, no rewrite) when late predictions or mature labels came in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, RowMapping, func, select
from sqlalchemy.dialects.postgresql import distinct_on, insert

from include.lifecycle.sections.monitoring import EVERY
from include.lifecycle.tables import windows as table

if TYPE_CHECKING:
    from include.lifecycle.spec import ModelSpec

NEWEST = 14
"""Windows that one run looks back on, besides those whose labels are still to mature."""

LATE_WINDOWS = 2  # rows, and labels that were due, may come so many windows late
LATE_ROWS = 0.02  # share of rows that came late and make a window worth measuring again
NEW_LABELS = 0.2  # share of rows whose labels matured since
LAST_LABELS = 0.01  # the same once every label had time to mature
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, order=True)
class Window:
    """Event time [start, end)."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        """End minus start."""
        return self.end - self.start


@dataclass(frozen=True)
class Measured:
    """What the newest revision of a window saw: rows, mature rows, and whether that was all there will be."""

    revision: int
    rows: int
    mature_rows: int
    measured_at: datetime


def look_back(length: timedelta, mature_after: timedelta, every: timedelta = timedelta(0)) -> int:
    """How many windows a run looks back on: NEWEST, or those of two looks if that is more (one look may be missed), and as many
    as end before the labels of the oldest are mature. `every`: time between two looks."""
    return max(NEWEST, math.ceil(2 * every / length)) + math.ceil(mature_after / length)


def windows_back(spec: ModelSpec) -> int:
    """How many windows the monitor of a model looks back on."""
    return look_back(spec.monitoring.window, spec.labels.mature_after, EVERY[spec.monitoring.schedule])


def microseconds(at: datetime) -> int:
    """A timezone-aware time as whole microseconds since 1970."""
    return round(at.timestamp() * 1_000_000)


def finished_windows(now: datetime, length: timedelta, count: int = NEWEST) -> list[Window]:
    """The newest `count` windows that ended by `now`, oldest first, aligned to whole multiples of `length` since 1970."""
    last = (now - _EPOCH) // length
    return [Window(_EPOCH + at * length, _EPOCH + (at + 1) * length) for at in range(last - count, last)]


def read_measured(connection: Connection, model: str, since: datetime) -> dict[tuple[Window, int], Measured]:
    """Newest revision of each window that ends at or after `since`, by window and version."""
    query = select(table).where(table.c.model == model, table.c.window_end >= since).order_by(table.c.revision)
    return {
        (Window(row["window_start"], row["window_end"]), row["version"]): Measured(
            row["revision"], row["rows"], row["mature_rows"], datetime.fromisoformat(row["measurements"]["measured_at"])
        )
        for row in connection.execute(query).mappings()
    }


def expects_news(window: Window, versions: Sequence[Measured], mature_after: timedelta, now: datetime) -> bool:
    """Whether it is worth reading a window: late rows or mature labels may have come since each version was measured."""
    if not versions:
        return True
    seen, late = min(measured.measured_at for measured in versions), LATE_WINDOWS * window.length
    rows_may_come = seen < window.end + late
    labels_may_come = now >= window.start + mature_after and seen < window.end + mature_after + late
    return rows_may_come or labels_may_come


def neighbours(windows: Sequence[Window]) -> list[list[Window]]:
    """Split windows (oldest first) where one is left out: each part is read from the log at once."""
    parts: list[list[Window]] = []
    for window in windows:
        if parts and parts[-1][-1].end == window.start:
            parts[-1].append(window)
        else:
            parts.append([window])
    return parts


def is_due(window: Window, rows: int, mature_rows: int, last: Measured | None, *, now: datetime, mature_after: timedelta) -> bool:
    """Whether a version's window is to be measured: never measured yet, or enough has come in since the newest revision."""
    if last is None:
        return rows > 0
    wanted = LAST_LABELS if now >= window.end + mature_after else NEW_LABELS
    return rows > last.rows * (1 + LATE_ROWS) or mature_rows - last.mature_rows > rows * wanted


def store_window(connection: Connection, values: dict[str, Any]) -> int | None:
    """Insert one measured window and return its id; None when that revision stands already (another run was quicker)."""
    told = {name: finite(value) for name, value in values.items()}
    statement = insert(table).values(told).on_conflict_do_nothing(constraint="windows_once").returning(table.c.id)
    found = connection.execute(statement).scalar_one_or_none()
    return None if found is None else int(found)


def finite(value: Any) -> Any:
    """JSON-plain data with None for NaN and infinities, which JSON lacks: one infinite value must not cost its window."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: finite(one) for name, one in value.items()}
    return [finite(one) for one in value] if isinstance(value, list | tuple) else value


def newest_end(connection: Connection, model: str, version: int | None) -> datetime | None:
    """When the newest measured window of a version ended, or of any version where that one has none; None before the first."""
    newest = select(table.c.version, func.max(table.c.window_end)).where(table.c.model == model).group_by(table.c.version)
    ends = {int(number): end for number, end in connection.execute(newest)}
    return ends[version] if version in ends else max(ends.values(), default=None)


def newest_version(connection: Connection, model: str) -> int | None:
    """The version that answered most in the newest measured window; None before the first one."""
    query = select(table.c.version).where(table.c.model == model)
    return connection.execute(query.order_by(table.c.window_start.desc(), table.c.rows.desc()).limit(1)).scalar()


def newest_revisions(connection: Connection, model: str, version: int, count: int) -> list[RowMapping]:
    """The newest `count` measured windows of a version, newest first, each in its newest revision."""
    newest = (
        select(table)
        .where(table.c.model == model, table.c.version == version)
        .ext(distinct_on(table.c.window_start, table.c.window_end))
        .order_by(table.c.window_start.desc(), table.c.window_end, table.c.revision.desc())
        .limit(count)
    )
    return list(connection.execute(newest).mappings())
