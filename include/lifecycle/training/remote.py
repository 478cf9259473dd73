"""A training through Airflow's REST API, as a CI job starts it: trigger `train__<model>`, wait, read the result."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from include.lifecycle.airflow_api import AirflowApi
from include.lifecycle.errors import LifecycleError, SourceUnavailableError, TrainingRefusedError
from include.lifecycle.results import Evaluation, RegisteredVersion

_ENDED = ("success", "failed")
_BAD = ("failed", "upstream_failed")
_ACTIVE = ("queued", "running", "up_for_retry", "deferred")
_PATIENCE = 120.0  # wall seconds that Airflow may be away while a run is followed
_FIRST, _JUDGE, _LAST = "confirm_training", "evaluate_model", "register_model"


class TrainingFailedError(LifecycleError):
    """The train run failed, or did not end in time; the message names the task and the end of its log."""


def start_training(api: AirflowApi, model: str, conf: dict[str, Any], run_id: str) -> str:
    """Start a run of `train__<model>` and return the Dag's id; with a run id that exists already, that run is meant.

    Raises:
        TrainingRefusedError: the Dag is paused, so that the run would wait.
        LifecycleError: Airflow refuses, or does not answer.
    """
    dag_id = f"train__{model}"
    if api.is_paused(dag_id):
        raise TrainingRefusedError(f"{dag_id} is paused in Airflow: switch it on first; nothing was started")
    api.start_run(dag_id, run_id, conf)
    return dag_id


def follow(
    api: AirflowApi, dag_id: str, run_id: str, *, timeout: timedelta, poll: float, tell: Callable[[str], None]
) -> tuple[Evaluation, RegisteredVersion]:
    """Wait for the run's end and return what its gates said and what it registered; `tell` hears each change of the active tasks.

    Raises:
        TrainingRefusedError: confirm_training skipped the run; the message holds its reason.
        TrainingFailedError: a task failed, or `timeout` is over (the run goes on).
    """
    deadline, away_since, told = time.monotonic() + timeout.total_seconds(), None, ""
    while True:
        try:
            state = api.run_state(dag_id, run_id)
            tasks = api.task_states(dag_id, run_id)
            away_since = None
        except SourceUnavailableError:
            away_since = away_since or time.monotonic()
            if time.monotonic() - away_since > _PATIENCE:
                raise
            state, tasks = "away", []
        if state in _ENDED:
            return _outcome(api, dag_id, run_id, state, tasks)
        active = ", ".join(dict.fromkeys(task["task_id"] for task in tasks if task["state"] in _ACTIVE))
        if active and active != told:
            tell(told := active)
        if time.monotonic() > deadline:
            raise TrainingFailedError(f"{dag_id} run {run_id} is {state} after {timeout}; it goes on without this command")
        time.sleep(poll)


def _outcome(
    api: AirflowApi, dag_id: str, run_id: str, state: str, tasks: list[dict[str, Any]]
) -> tuple[Evaluation, RegisteredVersion]:
    by_name = {task["task_id"]: task for task in tasks}
    if state == "failed":
        failed = [task for task in tasks if task["state"] in _BAD]
        first = next((task for task in failed if task["state"] == "failed"), None)
        named = ", ".join(dict.fromkeys(task["task_id"] for task in failed)) or "no task"
        log = f"\n{api.log_end(dag_id, run_id, first)}" if first else ""
        raise TrainingFailedError(f"{dag_id} run {run_id} failed: {named}{log}")
    if by_name.get(_LAST, {}).get("state") == "success":
        judged, registered = (api.result(dag_id, run_id, task) for task in (_JUDGE, _LAST))
        return Evaluation.model_validate(judged), RegisteredVersion.model_validate(registered)
    skipped = by_name.get(_FIRST)
    reason = f": {api.log_end(dag_id, run_id, skipped, lines=3)}" if skipped and skipped["state"] == "skipped" else ""
    raise TrainingRefusedError(f"{dag_id} run {run_id} trained nothing{reason}")
