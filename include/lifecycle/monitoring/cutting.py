"""Windows that end with a number of predictions or of mature labels instead of by the clock; which windows are due, either way.

A version's windows follow each other without a gap, each from the end of the one before; rows with the same event time are never
parted. What does not fill a window yet waits for more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.counting.slices import estimated_rows
from include.lifecycle.monitoring.windows import Measured, Window, is_due, microseconds
from include.lifecycle.spec import ModelSpec

Times = NDArray[np.int64]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, eq=False)
class Logged:
    """Every row of a range of the log: `versions`, event `times` (microseconds) and whether a mature label is there, all (n,)."""

    versions: Times
    times: Times
    mature: NDArray[np.bool_]


def read_from(spec: ModelSpec, folder: Path, looked_back: datetime, ended: datetime | None, now: datetime) -> datetime:
    """From when on the log is read. By count or labels a window may last longer than the look-back: from the end of the newest
    one (`ended`; None: nothing was measured yet), as long as that is no more than `monitoring.exact_rows` rows."""
    since = now - spec.prediction_log.keep if ended is None else ended
    if spec.monitoring.window_by == "time" or since >= looked_back:
        return looked_back
    return since if estimated_rows(folder, since, now) <= spec.monitoring.exact_rows else looked_back


def due_windows(
    windows: list[Window], rows: Logged, measured: dict[tuple[Window, int], Measured], *, now: datetime, spec: ModelSpec
) -> list[tuple[Window, int]]:
    """Windows and versions to measure now, oldest first. `windows`: the clock's; not asked for by count or labels."""
    rules = spec.monitoring
    found = []
    for version in np.unique(rows.versions).tolist():
        of = rows.versions == version
        times, mature = rows.times[of], rows.mature[of]
        order = np.argsort(times, kind="stable")
        times, sums = times[order], np.concatenate(([0], np.cumsum(mature[order])))
        if rules.window_by == "time":
            mine = windows
        else:
            weights = np.ones(times.size) if rules.window_by == "count" else mature[order]
            size = rules.window_rows if rules.window_by == "count" else rules.window_labels
            before = sorted(window for window, other in measured if other == version)
            begin = microseconds(max(window.end for window in before)) if before else None
            mine = [*before, *cut(times, weights, size, begin)]
        for window in mine:
            first, last = np.searchsorted(times, [microseconds(window.start), microseconds(window.end)])
            known = measured.get((window, version))
            counts = int(last - first), int(sums[last] - sums[first])
            if is_due(window, *counts, known, now=now, mature_after=spec.labels.mature_after):
                found.append((window, int(version)))
    return sorted(found)


def cut(times: Times, weights: NDArray[np.generic], size: int, begin: int | None) -> Iterator[Window]:
    """Full windows over rising `times` (n,) in microseconds from `begin` on (None: from the first row), each with `size` of
    `weights` (n,), 0 or 1, or more when its last rows share their event time."""
    at = 0 if begin is None else int(np.searchsorted(times, begin))
    whole = np.cumsum(weights)
    start = begin
    while at < times.size:
        start = int(times[at]) if start is None else start
        held = float(whole[at - 1]) if at else 0.0
        last = int(np.searchsorted(whole, held + size))
        if last >= times.size:
            return
        end = int(times[last]) + 1
        yield Window(_moment(start), _moment(end))
        start, at = end, int(np.searchsorted(times, end))


def _moment(at: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at)
