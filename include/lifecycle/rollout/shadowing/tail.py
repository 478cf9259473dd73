"""New lines of the prediction log's segments since the last look, of two versions only: bounded per call, each line once.

Files are known by their name without `.open`, which they keep when their writer finishes them; what compaction took before it was
read is lost for the comparison, which says so by fewer pairs, never by wrong ones.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from include.serving.log_schema import CLOSED, OPEN, SEGMENTS

MOST_BYTES = 8_000_000  # per call: about 20,000 rows, a quarter of a second of CPU with their pairing


@dataclass(frozen=True)
class News:
    """Rows that are new (parsed lines), where reading stopped (offset by segment), and whether there is more to read."""

    rows: list[dict[str, Any]]
    offsets: dict[str, int]
    behind: bool


def read_news(folder: Path, versions: Collection[int], since: float, offsets: dict[str, int], *, most: int = MOST_BYTES) -> News:
    """Whole lines that the servers of `versions` wrote since `offsets`; segments last written before `since` are passed over.

    `since` is epoch seconds. Each version may use its part of `most` bytes, so that both keep step with each other. Segments that
    are gone lose their offset. A torn last line waits for the next call.
    """
    found, rows, behind = _segments(folder, versions, since), [], False
    after = {name: offset for name, offset in offsets.items() if name in found}
    left = dict.fromkeys(versions, most // max(1, len(versions)))
    for name in sorted(found):
        version = int(name.partition("-")[0])
        start = after.get(name, 0)
        lines, end = _lines(found[name], start, left[version])
        rows += [row for line in lines if (row := _parsed(line)) is not None]
        left[version] -= end - start
        after[name] = end
        behind = behind or end < _size(found[name])
    return News(rows, after, behind)


def _segments(folder: Path, versions: Collection[int], since: float) -> dict[str, Path]:
    """The segments' paths by name; one that is renamed in between is met under one of both names, or at the next call."""
    found: dict[str, Path] = {}
    for path in (folder / SEGMENTS).glob(f"*{CLOSED}*"):
        name = path.name.removesuffix(OPEN.removeprefix(CLOSED))
        version = name.partition("-")[0]
        if not name.endswith(CLOSED) or not version.isdigit() or int(version) not in versions:
            continue
        try:
            if path.stat().st_mtime >= since - 1:
                found[name] = path
        except FileNotFoundError:  # finished and renamed, or compacted, since it was listed
            continue
    return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _lines(path: Path, offset: int, limit: int) -> tuple[list[bytes], int]:
    if limit <= 0:
        return [], offset
    try:
        with path.open("rb") as handle:
            handle.seek(offset)
            block = handle.read(limit)
    except FileNotFoundError:
        return [], offset
    whole = block.rfind(b"\n") + 1
    return block[:whole].splitlines(), offset + whole


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:  # the end of a killed writer's file
        return None
    return row if isinstance(row, dict) and "request_id" in row else None
