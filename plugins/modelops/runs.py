"""What became of train and deploy runs, asked from inside a task: rows that a dead run had claimed are set free by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from include.lifecycle.training.requests import RunState

PROBLEM = "problem"  # key of the XCom in which a failing task leaves its reason
_ALIVE = ("queued", "running")


def train_run_state(instance: Any) -> Callable[[str, str], RunState]:
    """A function (model, run id) -> alive, failed (ended, its claim unused) or gone; `instance` is the asking task's."""

    def state(model: str, run_id: str) -> RunState:
        if _count(instance, f"train__{model}", run_id, *_ALIVE):
            return "alive"
        return "failed" if _count(instance, f"train__{model}", run_id) else "gone"

    return state


def deploy_run_alive(instance: Any) -> Callable[[str, str], bool]:
    """A function (model, run id) -> whether the run that opened a rollout, of the deploy Dag or of `aa_test`, waits or runs;
    `instance` is the asking task's."""

    def alive(model: str, run_id: str) -> bool:
        return any(_count(instance, dag, run_id, *_ALIVE) for dag in (f"deploy__{model}", "aa_test"))

    return alive


def failed_tasks(instance: Any, dag_id: str, run_id: str) -> dict[str, str | None]:
    """The run's failed tasks, each with what it said (None where it died without a word); `instance` is the asking task's."""
    states = instance.get_task_states(dag_id=dag_id, run_ids=[run_id]).get(run_id, {})
    failed: dict[str, str | None] = {}
    for name, state in states.items():
        if str(state) == "failed":
            task, _, index = name.rpartition("_")
            mapped = bool(task) and index.isdigit()
            place = {"task_ids": task, "map_indexes": int(index)} if mapped else {"task_ids": name}
            failed[f"{task}[{index}]" if mapped else name] = instance.xcom_pull(key=PROBLEM, **place)
    return failed


def _count(instance: Any, dag_id: str, run_id: str, *states: str) -> int:
    return int(instance.get_dr_count(dag_id=dag_id, run_ids=[run_id], states=list(states) or None))
