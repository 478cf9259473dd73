"""The main job: `run(stack)` plays one episode on a running stack and tells whether the loop closed. `make run` calls it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from include.demo.airflow_client import AirflowClient
from include.demo.board import Board
from include.demo.chapters import tell
from include.demo.chronicle import Chronicle
from include.demo.episodes import next_episode
from include.demo.facts import RegistryFacts, TableFacts
from include.demo.outside import ReplayProcess, set_rate
from include.demo.replay import MODEL
from include.demo.story import Story
from include.demo.summary import told, write_summary
from include.lifecycle.clock import read_clock
from include.lifecycle.errors import LifecycleError, SettingsError
from include.lifecycle.runtime import build_runtime
from include.settings import Settings

if TYPE_CHECKING:
    from include.stack.local import LocalStack

SHARE = 0.22
"""Share of the flights that is sent: about 70 requests per wall second at the story's speed."""


def run(stack: LocalStack) -> int:
    """Play the next episode; 0 when the loop closed and no client request failed, else 1. Ctrl-C stops traffic and is raised on.

    Whatever happens, the replay is ended, event time is slowed to wall time, and `<local>/run/summary.json` says how far it came.
    """
    configured = stack.settings
    clock_file = configured.clock_file
    if clock_file is None:
        raise SettingsError("the main job needs the demo's clock: the stack was started without it")
    folder, board = stack.layout.local / "run", Board()
    with stack.airflow() as http, board:
        story = _story(stack, configured, AirflowClient(http), board, clock_file, folder)
        found, failure = Chronicle(), "interrupted"
        try:
            tell(story, found)
            failure = ""
        except LifecycleError as problem:
            failure = str(problem)
        finally:
            story.replay.stop()
            set_rate(clock_file, 1.0)
            summary = write_summary(folder / "summary.json", story, found, failure or None)
    failed = summary["client_requests"]["failed"]
    ending = (
        f"The loop did not close: {failure}"
        if failure
        else f"The loop closed{f', but {failed} requests failed' if failed else ''}."
    )
    for line in [*told(summary), f"Summary: {folder / 'summary.json'}", ending]:
        board.print(line)
    return 0 if summary["loop_closed"] and not failed else 1


def _story(
    stack: LocalStack, configured: Settings, airflow: AirflowClient, board: Board, clock_file: Path, folder: Path
) -> Story:
    rt = build_runtime(configured)
    tables = TableFacts(rt.engine, MODEL)
    times = [time for time in (tables.newest_event_time(), read_clock(clock_file).now()) if time is not None]
    episode = next_episode(max(times))
    replay = ReplayProcess(stack.layout.home, stack.environment(), episode, SHARE, folder)
    return Story(rt, airflow, tables, RegistryFacts(configured.mlflow_url, MODEL), board, replay, episode, clock_file)
