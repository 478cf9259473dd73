"""Reads the access log that model servers write beside the prediction log, and lets old files go.

One reader per monitoring run: a day's file is read once, however many windows ask for it.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from include.serving.access_log import ACCESS

log = logging.getLogger(__name__)

MINUTE = 60


@dataclass(frozen=True, eq=False)
class AccessCounts:
    """Requests by minute (number since 1970), client (empty: not known) and HTTP status; all (n,)."""

    minutes: NDArray[np.int64]
    clients: NDArray[np.object_]
    statuses: NDArray[np.int64]
    requests: NDArray[np.int64]

    def per_minute(self, which: NDArray[np.bool_], first: int, last: int) -> NDArray[np.int64]:
        """Requests of the chosen counts in each minute of [first, last): (last - first,)."""
        inside = which & (self.minutes >= first) & (self.minutes < last)
        weights = self.requests[inside].astype(np.float64)
        return np.bincount(self.minutes[inside] - first, weights=weights, minlength=last - first).astype(np.int64)

    @property
    def denied(self) -> NDArray[np.bool_]:
        """Which counts are of requests without a good key."""
        return np.asarray((self.statuses == 401) | (self.statuses == 403), dtype=np.bool_)


@dataclass
class AccessReader:
    """The access log of one model; a folder without one has no counts."""

    folder: Path
    _days: dict[date, list[tuple[int, str, int, int]]] = field(default_factory=dict)

    def between(self, since: datetime, until: datetime) -> AccessCounts:
        """Counts of wall time [since, until), by whole minutes. Lines that are torn or malformed are left out and told."""
        first, last = int(since.timestamp()) // MINUTE, -(-int(until.timestamp()) // MINUTE)
        day, rows = since.astimezone(UTC).date(), []
        while day <= until.astimezone(UTC).date():
            rows += [row for row in self._of(day) if first <= row[0] < last]
            day += timedelta(days=1)
        columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
        return AccessCounts(
            np.array(columns[0], dtype=np.int64),
            np.array(columns[1], dtype=object),
            np.array(columns[2], dtype=np.int64),
            np.array(columns[3], dtype=np.int64),
        )

    def _of(self, day: date) -> list[tuple[int, str, int, int]]:
        if day not in self._days:
            paths = sorted((self.folder / ACCESS).glob(f"*-{day:%Y%m%d}.jsonl"))
            self._days[day] = [row for path in paths for row in _rows(path)]
        return self._days[day]


def _rows(path: Path) -> list[tuple[int, str, int, int]]:
    rows, bad = [], 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            told = json.loads(line)
            minute = int(datetime.fromisoformat(told["at"]).timestamp()) // MINUTE
            rows.append((minute, str(told["client"]), int(told["status"]), int(told["requests"])))
        except (ValueError, KeyError, TypeError):
            bad += 1
    if bad:
        log.warning("access log %s: %d lines cannot be read and are left out", path, bad)
    return rows


def remove_old(folder: Path, before: datetime) -> int:
    """Remove access files of days that ended before a moment (wall time); return how many."""
    removed = 0
    for path in (folder / ACCESS).glob("*.jsonl"):
        day = path.stem.rpartition("-")[2]
        if len(day) == 8 and day.isdigit() and day < f"{before.astimezone(UTC):%Y%m%d}":
            path.unlink(missing_ok=True)
            removed += 1
    return removed
