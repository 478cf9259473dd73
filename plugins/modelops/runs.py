"""What became of train runs, asked from inside a task: rows that a dead run had claimed are set free by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from include.lifecycle.training.requests import RunState


def train_run_state(instance: Any) -> Callable[[str, str], RunState]:
    """A function (model, run id) -> alive, failed (ended, its claim unused) or gone; `instance` is the asking task's."""

    def state(model: str, run_id: str) -> RunState:
        def count(*states: str) -> int:
            return int(instance.get_dr_count(dag_id=f"train__{model}", run_ids=[run_id], states=list(states) or None))

        if count("queued", "running"):
            return "alive"
        return "failed" if count() else "gone"

    return state
