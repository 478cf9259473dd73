"""The one source of "now" for event-time rules. Waiting and leases use wall time instead and never ask this clock.

In production it is the system's clock; the demo and tests shift and accelerate it through a small JSON file.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from include.lifecycle.errors import SettingsError


class Clock(Protocol):
    """Anything that tells the event time, timezone-aware in UTC."""

    def now(self) -> datetime:
        """Return the present event time."""
        ...


class SystemClock:
    """Event time is wall time."""

    def now(self) -> datetime:
        """Return the wall time in UTC."""
        return datetime.now(UTC)


@dataclass(frozen=True)
class FixedClock:
    """A clock that stands still, for tests and replays."""

    at: datetime

    def now(self) -> datetime:
        """Return the same moment always."""
        return self.at


@dataclass(frozen=True)
class ShiftedClock:
    """Event time = `event_anchor` + (wall - `wall_anchor`) x `rate`; rate is event seconds per wall second."""

    wall_anchor: datetime
    event_anchor: datetime
    rate: float

    def now(self) -> datetime:
        """Return the event time that belongs to this moment."""
        return self.at(datetime.now(UTC))

    def at(self, wall: datetime) -> datetime:
        """Map a wall time to its event time."""
        return self.event_anchor + (wall - self.wall_anchor) * self.rate


@dataclass(frozen=True)
class FileClock:
    """A ShiftedClock that is read anew from `path` on each call, so that all processes follow one change at once."""

    path: Path

    def now(self) -> datetime:
        """Return the event time by the file's present content."""
        return read_clock(self.path).now()


def read_clock(path: Path) -> ShiftedClock:
    """Read `{"wall_anchor": iso, "event_anchor": iso, "rate": float}`; raise SettingsError when it is not that."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        wall, event = (datetime.fromisoformat(raw[key]) for key in ("wall_anchor", "event_anchor"))
        return ShiftedClock(wall, event, float(raw["rate"]))
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise SettingsError(f"clock file {path}: {problem}; expected wall_anchor, event_anchor (ISO) and rate") from problem


def write_clock(path: Path, clock: ShiftedClock) -> None:
    """Replace the clock file in one step, so that no reader sees half of it."""
    text = json.dumps(
        {"wall_anchor": clock.wall_anchor.isoformat(), "event_anchor": clock.event_anchor.isoformat(), "rate": clock.rate}
    )
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
