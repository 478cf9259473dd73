"""What a person sees while the stack starts and stops: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

_STYLES = {"healthy": "green", "done": "green", "failed": "red", "starting": "yellow", "stopping": "yellow"}


class Progress:
    """State and seconds of each component; `quiet` prints nothing (tests)."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._began = time.monotonic()
        self._rows: dict[str, tuple[str, float, float]] = {}
        self._quiet = quiet
        self._console = Console()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if not self._quiet and self._console.is_terminal:
            self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def state(self, name: str, state: str) -> None:
        """Record that `name` is now `state`; a repeated state is not shown again."""
        now = time.monotonic()
        known = self._rows.get(name)
        if known and known[0] == state:
            return
        first = known[1] if known else now
        self._rows[name] = (state, first, now)
        if not self._quiet and not self._live:
            took = f"  after {now - first:.1f} s" if known else ""
            print(f"[{now - self._began:6.1f} s] {name:<16} {state}{took}", flush=True)

    def note(self, text: str) -> None:
        """Show one line of text."""
        if self._live:
            self._live.console.print(text)
        elif not self._quiet:
            print(text, flush=True)

    @property
    def seconds(self) -> float:
        """Seconds since this progress began."""
        return time.monotonic() - self._began

    def times(self) -> dict[str, float]:
        """Seconds from the first to the last state of each component."""
        return {name: round(last - first, 1) for name, (_, first, last) in self._rows.items()}

    def _table(self) -> Table:
        table = Table(title=f"ModelOps stack, {self.seconds:.0f} s", title_justify="left")
        for column in ("component", "state", "seconds"):
            table.add_column(column, justify="right" if column == "seconds" else "left")
        for name, (state, first, last) in self._rows.items():
            end = last if state in ("healthy", "done", "failed", "stopped") else time.monotonic()
            table.add_row(name, f"[{_STYLES.get(state, 'default')}]{state}[/]", f"{end - first:.1f}")
        return table


def report_failure(text: str) -> None:
    """Print an error to standard error."""
    print(text, file=sys.stderr, flush=True)
