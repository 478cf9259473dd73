"""Where counts of measured windows lie: `<storage>/windows/<model>/<version>/<window start>.npz`, one small file per window.

Written by the monitor for every window that it stores or revises, before its row; so a file without a row may exist, and a row
from before there were files. The seasonal reference is made of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from include.lifecycle.storage import Storage

_START = "%Y%m%dT%H%M%S%fZ"


def counts_path(storage: Storage, model: str, version: int, start: datetime) -> Path:
    """The file of the window that begins at `start` (event time)."""
    return storage.windows(model) / str(version) / f"{start.astimezone(UTC):{_START}}.npz"


def stored_windows(storage: Storage, model: str, version: int, since: datetime, until: datetime) -> list[tuple[datetime, Path]]:
    """Start and file of each stored window with `since` <= start < `until`, oldest first. Read one by WindowCounts.load."""
    folder = counts_path(storage, model, version, since).parent
    return sorted((start, path) for start, path in _files(folder) if since <= start < until)


def forget_windows(storage: Storage, model: str, before: datetime) -> int:
    """Remove files of windows that begin before `before`, of all versions; return how many."""
    old = [path for folder in storage.windows(model).glob("*") for start, path in _files(folder) if start < before]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _files(folder: Path) -> Iterator[tuple[datetime, Path]]:
    for path in folder.glob("[0-9]*.npz"):
        yield datetime.strptime(path.stem, _START).replace(tzinfo=UTC), path
