"""What a person sees of the main job: a live table of stages with their state, seconds and the fact that matters; else lines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from include.lifecycle.errors import LifecycleError

_STYLES = {"running": "yellow", "done": "green", "failed": "red", "waiting": "dim", "stopped": "magenta"}
_QUIET_SECONDS = 5.0  # between two plain lines about the same stage


@dataclass
class Stage:
    """One row of the table. `fact` is a sentence for people, replaced as the stage goes on; `limit` is in wall seconds."""

    name: str
    limit: float
    state: str = "running"
    fact: str = ""
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    said: float = 0.0

    @property
    def seconds(self) -> float:
        """Wall seconds that the stage took, or takes so far."""
        return (self.ended or time.monotonic()) - self.started

    @property
    def overdue(self) -> bool:
        """Whether the stage has used up its time."""
        return self.ended is None and self.seconds > self.limit


class Board:
    """The table of one main job, in the order in which stages begin; `caption` stands below it."""

    def __init__(self, console: Console | None = None) -> None:
        self.stages: list[Stage] = []
        self.caption = ""
        self._console = console or Console()
        self._live: Live | None = None
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=2)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    @contextmanager
    def stage(self, name: str, limit: float) -> Iterator[Stage]:
        """Show a stage while the block runs; it ends done, failed by an error of ours, or stopped by anything else."""
        stage = Stage(name, limit)
        self.stages.append(stage)
        self._line(stage)
        try:
            yield stage
        except LifecycleError:
            self._end(stage, "failed")
            raise
        except BaseException:
            self._end(stage, "stopped")
            raise
        self._end(stage, "done")

    def tell(self, stage: Stage, fact: str) -> None:
        """Replace a stage's fact."""
        if fact != stage.fact:
            stage.fact = fact
            if time.monotonic() - stage.said > _QUIET_SECONDS:
                self._line(stage)

    def print(self, text: str) -> None:
        """Show text above the table, or as lines."""
        (self._live.console if self._live else self._console).print(text, highlight=False, markup=False, soft_wrap=True)

    @property
    def seconds(self) -> dict[str, float]:
        """Wall seconds of each stage by name."""
        return {stage.name: round(stage.seconds, 1) for stage in self.stages}

    def _end(self, stage: Stage, state: str) -> None:
        stage.state, stage.ended = state, time.monotonic()
        self._line(stage)

    def _line(self, stage: Stage) -> None:
        stage.said = time.monotonic()
        if not self._live:
            since, caption = time.monotonic() - self._began, f"  ({self.caption})" if self.caption else ""
            text = f"[{since:6.1f} s] {stage.name:<34} {stage.state:<8} {stage.seconds:6.1f} s  {stage.fact}{caption}"
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _table(self) -> Table:
        table = Table(title="The main job: one model's life", caption=self.caption, title_justify="left", caption_justify="left")
        for header in ("stage", "state", "seconds", "what matters"):
            table.add_column(header, justify="right" if header == "seconds" else "left")
        for stage in self.stages:
            table.add_row(stage.name, f"[{_STYLES[stage.state]}]{stage.state}[/]", f"{stage.seconds:.0f}", stage.fact)
        return table
