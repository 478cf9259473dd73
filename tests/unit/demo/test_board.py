"""The board: stages end as they should, and plain lines are few."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from include.demo.board import Board
from include.lifecycle.errors import LifecycleError


def board() -> tuple[Board, io.StringIO]:
    written = io.StringIO()
    return Board(Console(file=written, width=200)), written


def test_stage_ends_done_with_its_last_fact():
    shown, written = board()
    with shown, shown.stage("Load the data", 10) as stage:
        shown.tell(stage, "one")
        shown.tell(stage, "two")
    assert (stage.state, stage.fact) == ("done", "two")
    lines = written.getvalue().splitlines()
    assert len(lines) == 2, "facts that follow one another within seconds are not lines of their own"
    assert "done" in lines[1]
    assert "two" in lines[1]
    assert list(shown.seconds) == ["Load the data"]


@pytest.mark.parametrize(("error", "state"), [(LifecycleError("no"), "failed"), (KeyboardInterrupt(), "stopped")])
def test_stage_says_how_it_was_left(error: BaseException, state: str):
    shown, _ = board()
    with pytest.raises(type(error)), shown.stage("Train", 10):
        raise error
    assert shown.stages[0].state == state
    assert shown.stages[0].ended is not None


def test_stage_is_overdue_only_while_it_runs():
    shown, _ = board()
    with shown.stage("Train", 0) as stage:
        assert stage.overdue
    assert not stage.overdue


def test_terminal_gets_a_live_table():
    written = io.StringIO()
    shown = Board(Console(file=written, force_terminal=True, width=120))
    with shown, shown.stage("Roll out version 2", 10) as stage:
        shown.tell(stage, "25 % of the traffic")
    assert "Roll out version 2" in written.getvalue()
    assert "25 % of the traffic" in written.getvalue()
