"""The recent past as a reference: windows at the same hours of the week, without those under a signal of their column.

Made of the counts that monitoring keeps of each window (counting/store.py). Each measured window's own distance to its season is
kept in `windows.measurements`; those distances are the null that later ones are judged by.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from include.lifecycle.errors import DataInvalidError
from include.lifecycle.monitoring.counting.counts import WindowCounts
from include.lifecycle.monitoring.counting.store import counts_path
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.storage import Storage

log = logging.getLogger(__name__)

WEEK = timedelta(days=7)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COPRIME = (1, 5, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113)


@dataclass(frozen=True)
class Span:
    """A signal: its column ("" for all), and from when to when it was seen; `until` is None while it stands open."""

    column: str
    since: datetime
    until: datetime | None


@dataclass(eq=False)
class Season:
    """One model's earlier windows. `recorded`: distances to their own season by column, of each measured window by its start."""

    storage: Storage
    model: str
    spans: list[Span]
    recorded: dict[datetime, dict[str, float]]
    _read: dict[datetime, list[WindowCounts]] = field(default_factory=dict)

    def clean(self, column: str, start: datetime, end: datetime) -> bool:
        """Whether a window may be part of the column's reference: before an open signal, or after all that ended.

        What lies before a signal that ended is no reference either: it ended because things went back, or because a new version
        learnt what had changed.
        """
        spans = [span for span in self.spans if span.column in ("", column)]
        return all(end <= span.since if span.until is None else start >= span.until for span in spans)

    def counts(self, start: datetime, minimum_rows: int) -> list[WindowCounts]:
        """What all versions together counted in the window that begins at `start`; empty below `minimum_rows` in all."""
        if start not in self._read:
            self._read[start] = list(self._load(start))
        found = self._read[start]
        return found if sum(one.rows for one in found) >= minimum_rows else []

    def _load(self, start: datetime) -> Iterator[WindowCounts]:
        folder = self.storage.windows(self.model)
        for version in sorted(folder.iterdir()) if folder.is_dir() else ():
            path = counts_path(self.storage, self.model, int(version.name), start) if version.name.isdigit() else version
            if not version.name.isdigit() or not path.is_file():
                continue
            try:
                yield WindowCounts.load(path)
            except DataInvalidError as problem:
                log.warning("a stored window is left out of the season: %s", problem)


def same_hours(window: Window, weeks: int) -> list[datetime]:
    """Starts of the windows one, two ... `weeks` weeks ago at the same hours of the week, newest first.

    The nearest window of each where their length does not divide a week; the windows before it where they are longer than one.
    """
    step = max(WEEK, window.length)
    return [_EPOCH + round((window.start - _EPOCH - back * step) / window.length) * window.length for back in range(1, weeks + 1)]


def spread_starts(window: Window, weeks: int, most: int) -> list[datetime]:
    """Starts of at most `most` of the windows before this one, of the last `weeks` weeks, over all hours of the week alike."""
    count = int(weeks * WEEK / window.length)
    stride = next((step for step in _COPRIME if step * most >= count), -(-count // most))
    return [window.start - back * window.length for back in range(1, count + 1, stride)]
