"""Reads the gateway's access log piecewise: new whole lines since a position, bounded per call, across rotation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.serving.log_schema import BASELINE, LIVE

MAX_BYTES = 4_000_000


@dataclass(frozen=True)
class Position:
    """A place in the log: the file's inode, which survives renaming, and the byte offset of the next unread line."""

    inode: int = 0
    offset: int = 0


def end_of(path: Path) -> Position:
    """Position after everything that the log holds now; the start when there is no log yet."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return Position()
    return Position(found.st_ino, found.st_size)


def read_lines(path: Path, position: Position, *, limit: int = MAX_BYTES) -> tuple[list[bytes], Position]:
    """Whole lines from `position` on, at most about `limit` bytes, and the position after them.

    A torn last line is left for the next call. When the log was rotated, the rest of the renamed file (same folder and inode) is
    read first; when it was truncated, or the old file is gone, reading starts at the beginning of the present one.
    """
    present = end_of(path)
    if position.inode and position.inode != present.inode:
        old = _renamed(path, position.inode)
        lines, after = _read(old, position, limit) if old else ([], position)
        return (lines, after) if lines else _read(path, Position(present.inode, 0), limit)
    start = position.offset if position.offset <= present.offset else 0
    return _read(path, Position(present.inode, start), limit)


def _renamed(path: Path, inode: int) -> Path | None:
    return next((one for one in path.parent.glob(f"{path.name}*") if end_of(one).inode == inode), None)


def _read(path: Path, position: Position, limit: int) -> tuple[list[bytes], Position]:
    if not position.inode:
        return [], position
    with path.open("rb") as handle:
        handle.seek(position.offset)
        block = handle.read(limit)
    whole = block.rfind(b"\n") + 1
    return block[:whole].splitlines(), Position(position.inode, position.offset + whole)


@dataclass(frozen=True)
class Request:
    """One request: when it arrived (epoch seconds), the version and arm that it was assigned to, how long it was under way (None:
    the line does not tell), whether the arm failed, and whether another server had to answer (`rescued`).

    An arm failed when the client got 5xx, when another attempt was needed, or when another version's server answered: the arm
    that a request was assigned to owns what happened to it (intention to treat). A client that left before it had the whole
    answer is not `answered`: its request is no success, and after `patience_us` a failure (measurements.py).
    """

    at: float
    assigned: int
    duration_us: int | None
    failed: bool
    arm: str = LIVE
    rescued: bool = False
    answered: bool = True


def parse(line: bytes, model: str, ports: dict[int, tuple[int, ...]]) -> Request | None:
    """One line of the log; None for another model's lines, requests without an arm, and lines that are no JSON.

    `ports` holds each version's ports, by which the answering server is told.
    """
    try:
        raw: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    if raw.get("model") != model or not str(raw.get("assigned") or "").isdigit():
        return None
    assigned, code = int(raw["assigned"]), int(raw.get("code") or 0)
    port, arm = str(raw.get("host") or "").rpartition(":")[2], BASELINE if raw.get("arm") == BASELINE else LIVE
    # a baseline server has a port of its own; the champion's servers are who rescues it
    mine = port.isdigit() and assigned in ports and int(port) in ports[assigned]
    elsewhere = mine if arm == BASELINE else port.isdigit() and assigned in ports and not mine
    failed = code >= 500 or int(raw.get("attempts") or 0) > 1 or elsewhere
    answered = code > 0 and "DC" not in str(raw.get("flags") or "").split(",")  # downstream connection termination
    return Request(float(raw["ts"]), assigned, _duration_us(raw), failed, arm, elsewhere, answered)


def _duration_us(raw: dict[str, Any]) -> int | None:
    """Microseconds from the request's first byte to the answer's last; of a client that left, whole milliseconds until then."""
    exact, whole = str(raw.get("us") or ""), str(raw.get("ms") if raw.get("ms") is not None else "")
    return int(exact) if exact.isdigit() else 1000 * int(whole) if whole.isdigit() else None
