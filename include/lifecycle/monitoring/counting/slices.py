"""Windows too large for memory: how many rows the log has of a range, about, and the slices of event time it is counted by.

Two lines of one prediction have the same event time, so a slice holds all lines of its rows and slices add up exactly.
"""

from __future__ import annotations

import math
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from include.lifecycle.monitoring.windows import Window
from include.serving.log_manifest import CompactedFile, read_manifest
from include.serving.log_schema import live_segments

_HEAD = 64 * 1024  # bytes of a segment that its line length is judged by


def estimated_rows(folder: Path, since: datetime, until: datetime) -> int:
    """About how many rows the log has with `since` <= event time < `until`: compacted files by their share of the range, segments
    in full. Reads the manifest and a few kilobytes per segment."""
    compacted = read_manifest(folder)
    return round(
        sum(_within(file, since, until) for file in compacted) + sum(_lines(path) for path in live_segments(folder, compacted))
    )


def slices(window: Window, rows: int, most: int) -> list[Window]:
    """The window in equal parts of event time that hold about `most` of `rows` rows each; at least one."""
    parts = max(1, math.ceil(rows / most))
    cuts = [window.start + window.length * part / parts for part in range(parts)] + [window.end]
    return [Window(start, end) for start, end in pairwise(cuts) if start < end]


def _within(file: CompactedFile, since: datetime, until: datetime) -> float:
    if file.event_time_min is None or file.event_time_max is None:
        return 0.0
    first, last = datetime.fromisoformat(file.event_time_min), datetime.fromisoformat(file.event_time_max)
    if last < since or first >= until:
        return 0.0
    length = (last - first).total_seconds()
    shared = (min(last, until) - max(first, since)).total_seconds()
    return file.rows * (shared / length if length > 0 else 1.0)


def _lines(segment: Path) -> float:
    try:
        with segment.open("rb") as lines:
            head = lines.read(_HEAD)
        size = segment.stat().st_size
    except FileNotFoundError:  # rotated or compacted meanwhile
        return 0.0
    return size / len(head) * head.count(b"\n") if head else 0.0
