"""What a model's earlier windows show of traffic and of labels: the expectation that a window's own are held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import distinct_on

from include.lifecycle.monitoring.windows import Window
from include.lifecycle.tables import windows

if TYPE_CHECKING:
    from include.lifecycle.spec import ModelSpec

WEEK = timedelta(weeks=1)


@dataclass(frozen=True)
class Recent:
    """By window: `rows` of all versions, and of those with labels due `matured` = (rows with a label, rows with a key)."""

    rows: dict[Window, int] = field(default_factory=dict)
    matured: dict[Window, tuple[int, int]] = field(default_factory=dict)

    def same_window(self, window: Window, weeks: int) -> list[int]:
        """Rows of the same window in each of the `weeks` weeks before that was measured, newest first."""
        before = [Window(window.start - week * WEEK, window.end - week * WEEK) for week in range(1, weeks + 1)]
        return [self.rows[one] for one in before if one in self.rows]

    def coverages(self, window: Window, count: int) -> list[float]:
        """Share of predictions with a key that got their label, of the newest `count` windows before this one."""
        before = sorted((one for one in self.matured if one.end <= window.start), reverse=True)[:count]
        return [labelled / keyed for labelled, keyed in (self.matured[one] for one in before) if keyed]


def read_recent(connection: Connection, spec: ModelSpec, oldest: datetime) -> Recent:
    """The windows, in their newest revisions, that the windows from `oldest` on may be compared with."""
    length, monitoring = spec.monitoring.window, spec.monitoring
    since = oldest - max(monitoring.traffic.weeks * WEEK, monitoring.labels.windows * length + spec.labels.mature_after)
    newest = (
        select(windows.c.window_start, windows.c.window_end, windows.c.rows, windows.c.mature_rows, windows.c.measurements)
        .where(windows.c.model == spec.name, windows.c.window_start >= since)
        .ext(distinct_on(windows.c.window_start, windows.c.window_end, windows.c.version))
        .order_by(windows.c.window_start, windows.c.window_end, windows.c.version, windows.c.revision.desc())
    )
    found = [(Window(row[0], row[1]), int(row[2]), int(row[3]), row[4]) for row in connection.execute(newest)]
    return _folded(found, spec.labels.mature_after)


def _folded(found: Sequence[tuple[Window, int, int, dict[str, object]]], mature_after: timedelta) -> Recent:
    rows: dict[Window, int] = {}
    matured: dict[Window, tuple[int, int]] = {}
    for window, count, labelled, measured in found:
        rows[window] = rows.get(window, 0) + count
        if datetime.fromisoformat(str(measured["measured_at"])) >= window.end + mature_after:
            told = measured.get("labels")
            flow = told if isinstance(told, dict) else {}
            before = matured.get(window, (0, 0))
            labels, keyed = int(flow.get("labelled_rows", labelled)), int(flow.get("keyed_rows", count))
            matured[window] = before[0] + labels, before[1] + keyed
    return Recent(rows, matured)
