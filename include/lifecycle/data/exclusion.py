"""Which event time is kept out of training: windows in which monitoring found a data fault or an attack, or under such a signal.

Design: rows of a faulted feed teach nonsense. Read by fetch, which leaves the rows out and writes the windows' ids to the ledger.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import distinct_on

from include.lifecycle.monitoring.kinds import DATA_FAULT, SECURITY, column_of
from include.lifecycle.tables import signals, windows

if TYPE_CHECKING:
    import pyarrow

_COVERING = (DATA_FAULT, SECURITY)


@dataclass(frozen=True)
class ExcludedWindow:
    """A row of `windows` whose event time [start, end) is kept out, and why."""

    window_id: int
    start: datetime
    end: datetime
    reason: str


def excluded_windows(
    connection: Connection, model: str, start: datetime, end: datetime, features: Collection[str]
) -> list[ExcludedWindow]:
    """Windows that touch [start, end), oldest first, newest revision each, that a version saw as faulted or attacked, or that lie
    under an open signal of kind data_fault or security (from its first to its last failing window).

    A fault of a column that is none of `features` keeps nothing out: whoever drops a broken column may learn from its rows again.
    """
    covered = select(signals.c.id, signals.c.cause, signals.c.first_seen, signals.c.last_seen)
    covered = covered.where(signals.c.model == model, signals.c.state == "open", signals.c.kind.in_(_COVERING))
    open_signals = [s for s in connection.execute(covered.order_by(signals.c.id)) if _concerns(s.cause, features)]
    newest = (
        select(windows.c.id, windows.c.window_start, windows.c.window_end, windows.c.verdicts)
        .where(windows.c.model == model, windows.c.window_start < end, windows.c.window_end > start)
        .ext(distinct_on(windows.c.window_start, windows.c.window_end, windows.c.version))
        .order_by(windows.c.window_start, windows.c.window_end, windows.c.version, windows.c.revision.desc())
    )
    found = []
    for row in connection.execute(newest):
        failed = [verdict["check"] for verdict in row.verdicts if _is_fault(verdict, features)]
        over = [s for s in open_signals if s.first_seen < row.window_end and s.last_seen > row.window_start]
        if failed or over:
            reason = ", ".join(failed) or f"open signal {over[0].id} ({over[0].cause})"
            found.append(ExcludedWindow(int(row.id), row.window_start, row.window_end, reason))
    return found


def _is_fault(verdict: dict[str, str], features: Collection[str]) -> bool:
    check = str(verdict.get("check", ""))
    return verdict.get("outcome") == "fail" and check.partition(":")[0] in _COVERING and _concerns(check, features)


def _concerns(cause: str, features: Collection[str]) -> bool:
    """Whether it is about what a training learns from: faults of the whole feed are called by a word that starts with @."""
    column = column_of(cause)
    return cause.partition(":")[0] != DATA_FAULT or not column or column.startswith("@") or column in features


def outside(times: pyarrow.Array, excluded: Sequence[ExcludedWindow]) -> pyarrow.Array:
    """Boolean [n]: which of `times` (timestamp[us, UTC]) lie in none of the windows; a null time lies in none."""
    import pyarrow as pa

    moments = times.cast(pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy(zero_copy_only=False)
    inside = np.zeros(len(moments), dtype=np.bool_)
    for window in excluded:
        inside |= (moments >= _microseconds(window.start)) & (moments < _microseconds(window.end))
    return pa.array(~inside)


def _microseconds(moment: datetime) -> int:
    return int(np.datetime64(moment.replace(tzinfo=None), "us").astype(np.int64))
