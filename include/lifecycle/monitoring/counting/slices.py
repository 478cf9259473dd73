"""Windows too large for memory: how many rows the log has of a range, about, and the slices of event time it is counted by.

Two lines of one prediction have the same event time, so a slice holds all lines of its rows and slices add up exactly.
"""

from __future__ import annotations

import json
import math
import os
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from include.lifecycle.monitoring.windows import Window
from include.serving.log_manifest import CompactedFile, read_manifest
from include.serving.log_schema import live_segments

_PEEK = 64 * 1024  # bytes at both ends of a segment that are looked at


def estimated_rows(folder: Path, since: datetime, until: datetime) -> int:
    """About how many rows the log has with `since` <= event time < `until`: files and segments by their share of the range.

    Reads the manifest and a few kilobytes per segment. Nothing but memory and time depends on how good it is."""
    compacted = read_manifest(folder)
    known = sum(_within(file, since, until) for file in compacted)
    return round(known + sum(_lines(path, since, until) for path in live_segments(folder, compacted)))


def slices(window: Window, rows: int, most: int) -> list[Window]:
    """The window in equal parts of event time that hold about `most` of `rows` rows each; at least one."""
    parts = max(1, math.ceil(rows / most))
    cuts = [window.start + window.length * part / parts for part in range(parts)] + [window.end]
    return [Window(start, end) for start, end in pairwise(cuts) if start < end]


def _within(file: CompactedFile, since: datetime, until: datetime) -> float:
    if file.event_time_min is None or file.event_time_max is None:
        return 0.0
    first, last = datetime.fromisoformat(file.event_time_min), datetime.fromisoformat(file.event_time_max)
    return file.rows * _shared(first, last, since, until)


def _shared(first: datetime, last: datetime, since: datetime, until: datetime) -> float:
    """Which part of [first, last] lies in [since, until)."""
    if last < since or first >= until:
        return 0.0
    length = (last - first).total_seconds()
    return (min(last, until) - max(first, since)).total_seconds() / length if length > 0 else 1.0


def _lines(segment: Path, since: datetime, until: datetime) -> float:
    """Rows of a segment in the range, by its size, the length of its first lines, and its first and last event time."""
    try:
        with segment.open("rb") as lines:
            head = lines.read(_PEEK)
            size = lines.seek(0, os.SEEK_END)
            lines.seek(max(0, size - _PEEK))
            tail = lines.read(_PEEK)
    except FileNotFoundError:  # rotated or compacted meanwhile
        return 0.0
    rows = size / len(head) * head.count(b"\n") if head else 0.0
    times = [at for line in (head.split(b"\n", 1)[0], *tail.split(b"\n")[-2:-1]) if (at := _event_time(line)) is not None]
    return rows * (_shared(min(times), max(times), since, until) if times else 1.0)


def _event_time(line: bytes) -> datetime | None:
    try:
        at = datetime.fromisoformat(json.loads(line)["event_time"])
    except (ValueError, KeyError, TypeError):  # a torn line tells nothing
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
