"""What a window's checks may know of the model's earlier windows: when its version started, and which causes stand open."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from include.lifecycle.monitoring.windows import Window
from include.lifecycle.tables import signals, windows


@dataclass(frozen=True)
class Past:
    """`started`: start of the first measured window of each version that was measured before; `open_causes`: open signals."""

    started: dict[int, datetime]
    open_causes: frozenset[str] = frozenset()

    def place(self, version: int, window: Window) -> int:
        """How many windows of that length lie between the version's start and this one; 0 for its first."""
        since = min(self.started.get(version, window.start), window.start)
        return round((window.start - since) / window.length)


def read_past(connection: Connection, model: str) -> Past:
    """The past of one model as the tables `windows` and `signals` tell it."""
    query = (
        select(windows.c.version, func.min(windows.c.window_start)).where(windows.c.model == model).group_by(windows.c.version)
    )
    causes = select(signals.c.cause).where(signals.c.model == model, signals.c.state == "open")
    started = {int(version): start for version, start in connection.execute(query).tuples()}
    return Past(started, frozenset(connection.execute(causes).scalars()))
