"""What became of train and deploy runs, asked from inside a task: rows that a dead run had claimed are set free by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from include.lifecycle.training.requests import RunState

_ALIVE = ("queued", "running")


def train_run_state(instance: Any) -> Callable[[str, str], RunState]:
    """A function (model, run id) -> alive, failed (ended, its claim unused) or gone; `instance` is the asking task's."""

    def state(model: str, run_id: str) -> RunState:
        if _count(instance, f"train__{model}", run_id, *_ALIVE):
            return "alive"
        return "failed" if _count(instance, f"train__{model}", run_id) else "gone"

    return state


def deploy_run_alive(instance: Any) -> Callable[[str, str], bool]:
    """A function (model, run id) -> whether that deploy run waits or runs; `instance` is the asking task's."""
    return lambda model, run_id: _count(instance, f"deploy__{model}", run_id, *_ALIVE) > 0


def _count(instance: Any, dag_id: str, run_id: str, *states: str) -> int:
    return int(instance.get_dr_count(dag_id=dag_id, run_ids=[run_id], states=list(states) or None))
