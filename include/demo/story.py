"""The patience of the main job: stages with time limits, waiting that keeps the outside world going, and reasons when it fails.

chapters.py tells what happens in which order; here is how one waits for it. Monitoring is started every few seconds, as cron
would start it every hour of event time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from include.demo.airflow_client import ENDED, AirflowClient
from include.demo.board import Board, Stage
from include.demo.episodes import Episode
from include.demo.facts import RegistryFacts, TableFacts
from include.demo.outside import ReplayProcess, set_rate
from include.lifecycle.errors import LifecycleError, SourceUnavailableError
from include.lifecycle.runtime import Runtime

T = TypeVar("T")
MONITOR = "monitor_hourly"
_POLL = 1.0  # wall seconds; each look costs the api-server some of the machine
_MONITOR_EVERY = 8.0  # wall seconds between two monitoring runs
_MONITOR_FAILURES = 3  # in a row; one may meet a restarting database
_UNAVAILABLE = 60.0  # wall seconds that a source may be away while something is waited for


class DemoFailedError(LifecycleError):
    """The main job did not come to its end; the message says at which stage, and why."""


@dataclass
class Story:
    """One run of the main job: where it looks, what it shows, what it found. `trainings` are run ids of train runs by version."""

    rt: Runtime
    airflow: AirflowClient
    tables: TableFacts
    registry: RegistryFacts
    board: Board
    replay: ReplayProcess
    episode: Episode
    clock_file: Path
    monitoring: bool = False
    _number: int = 0
    _monitor_run: str | None = None
    _monitored_at: float = 0.0
    _monitor_failures: list[str] = field(default_factory=list)

    @property
    def model(self) -> str:
        """The model whose life it is."""
        return self.tables.model

    def now(self) -> datetime:
        """Event time."""
        return self.rt.clock.now()

    def pace(self, rate: float) -> None:
        """Let event time run at `rate` from here on, if there is traffic; before, it keeps to wall time."""
        if self.replay.running:
            set_rate(self.clock_file, rate)

    def trigger(self, dag_id: str, conf: dict[str, object]) -> str:
        """Start a run of a Dag and return its id."""
        self._number += 1
        run_id = f"demo__{datetime.now(UTC):%Y%m%dT%H%M%S}__{self._number}"
        return self.airflow.trigger(dag_id, run_id, dict(conf))

    def wait(self, stage: Stage, condition: Callable[[], T | None], waiting_for: str) -> T:
        """Ask `condition` once a second until it gives something; the outside world goes on meanwhile.

        Raises:
            DemoFailedError: the stage's time is over.
            SourceUnavailableError: the replay ended, or a source stayed away for a minute.
        """
        away_since: float | None = None
        while True:
            self.replay.check()
            try:
                self._keep_monitoring()
                if (found := condition()) is not None:
                    return found
                away_since = None
            except SourceUnavailableError as problem:
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since > _UNAVAILABLE:
                    raise
                self.board.tell(stage, f"waiting: {problem}")
            self._caption()
            if stage.overdue:
                raise DemoFailedError(
                    f"stage {stage.name!r}: {waiting_for} did not happen within {stage.limit:g} s; {stage.fact}"
                )
            time.sleep(_POLL)

    def finish_run(self, stage: Stage, dag_id: str, run_id: str) -> None:
        """Wait for the end of a run and show which task it is at; DemoFailedError with the log's end when it failed."""

        def ended() -> str | None:
            state = self.airflow.state(dag_id, run_id)
            if state not in ENDED:
                active = [
                    task.task
                    for task in self.airflow.tasks(dag_id, run_id)
                    if task.state in ("running", "queued", "up_for_retry")
                ]
                if active:
                    self.board.tell(stage, f"at {', '.join(dict.fromkeys(active))}")
                return None
            return state

        if self.wait(stage, ended, f"the end of {dag_id} run {run_id}") == "failed":
            raise DemoFailedError(f"stage {stage.name!r}: {self.airflow.failure(dag_id, run_id)}")

    def _keep_monitoring(self) -> None:
        """Start the next monitoring run when the last one has ended and its time has come."""
        if not self.monitoring or time.monotonic() - self._monitored_at < _MONITOR_EVERY:
            return
        if self._monitor_run is not None:
            state = self.airflow.state(MONITOR, self._monitor_run)
            if state not in ENDED:
                return
            self._judge_monitoring(self._monitor_run, state)
        self._monitored_at = time.monotonic()
        self._monitor_run = self.trigger(MONITOR, {"model": self.model})

    def _judge_monitoring(self, run_id: str, state: str) -> None:
        if state == "success":
            self._monitor_failures.clear()
            return
        self._monitor_failures.append(run_id)
        if len(self._monitor_failures) >= _MONITOR_FAILURES:
            raise DemoFailedError(
                f"monitoring failed {_MONITOR_FAILURES} times in a row: {self.airflow.failure(MONITOR, run_id)}"
            )

    def _caption(self) -> None:
        counts = self.replay.totals()
        told = f"event time {self.now():%Y-%m-%d %H:%M}"
        if self.replay.running and counts:
            told += f", {counts['sent']} client requests sent, {counts['failed']} failed"
        self.board.caption = told
