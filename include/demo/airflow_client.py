"""Airflow's REST API as the demo needs it: start runs, follow them, say why one failed. A restarting api-server is waited for.

story.py uses it as an outside system would: nothing here imports Airflow.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from include.lifecycle.errors import LifecycleError, SourceUnavailableError

_PATIENCE = 90.0  # wall seconds that an api-server may be away before the demo gives up
_LOG_LINES = 12
_BAD = frozenset({"failed", "upstream_failed"})
ENDED = frozenset({"success", "failed"})


@dataclass(frozen=True)
class TaskState:
    """One task instance: its label in the UI (with the map label) and its state."""

    task: str
    map_index: int
    try_number: int
    state: str


@dataclass(frozen=True)
class AirflowClient:
    """Calls with an authenticated client. Raises LifecycleError when Airflow refuses, SourceUnavailableError when it is away."""

    http: httpx.Client

    def unpause_all(self) -> int:
        """Switch all Dags on; how many there are."""
        answer = self._call("PATCH", "/api/v2/dags", params={"dag_id_pattern": "%"}, json={"is_paused": False})
        return int(answer["total_entries"])

    def dags(self) -> set[str]:
        """Ids of the Dags that Airflow has read."""
        return {dag["dag_id"] for dag in self._call("GET", "/api/v2/dags", params={"limit": 200})["dags"]}

    def import_errors(self) -> list[str]:
        """File and last line of each Dag file that Airflow could not read."""
        errors = self._call("GET", "/api/v2/importErrors")["import_errors"]
        return [f"{error['filename']}: {error['stack_trace'].strip().splitlines()[-1]}" for error in errors]

    def trigger(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> str:
        """Start a run under an id of ours, so that a call that is made twice starts one run; return that id."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body, tolerated=409)
        return run_id

    def state(self, dag_id: str, run_id: str) -> str:
        """State of a run: queued, running, success or failed."""
        return str(self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}")["state"])

    def runs(self, dag_id: str, limit: int = 10) -> list[dict[str, Any]]:
        """The newest runs of a Dag, newest first."""
        parameters = {"order_by": "-run_after", "limit": limit}
        return list(self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns", params=parameters)["dag_runs"])

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        """States of a run's task instances, mapped ones each."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances"
        rows = self._call("GET", path, params={"limit": 100})["task_instances"]
        return [TaskState(row["task_id"], row["map_index"], row["try_number"], row["state"] or "none") for row in rows]

    def failure(self, dag_id: str, run_id: str) -> str:
        """Which tasks of a run failed, with the end of the first one's log."""
        failed = [task for task in self.tasks(dag_id, run_id) if task.state in _BAD]
        first = next((task for task in failed if task.state == "failed"), None)
        named = ", ".join(f"{task.task} {task.state}" for task in failed) or "no task"
        return f"{dag_id} run {run_id}: {named}" + (f"\n{self._log(dag_id, run_id, first)}" if first else "")

    def _log(self, dag_id: str, run_id: str, task: TaskState) -> str:
        path = f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task.task}/logs/{task.try_number}"
        parameters: dict[str, Any] = {"full_content": True} | ({"map_index": task.map_index} if task.map_index >= 0 else {})
        content = self._call("GET", path, params=parameters)["content"]
        lines = [line for event in content if (line := _plain_event(event))]
        return "\n".join(lines[-_LOG_LINES:])

    def _call(self, method: str, path: str, *, tolerated: int = 0, **arguments: Any) -> Any:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                answer = self.http.request(method, path, headers={"accept": "application/json"}, **arguments)
            except httpx.TransportError as problem:
                trouble = f"{type(problem).__name__}: {problem}"
            else:
                if answer.is_success or answer.status_code == tolerated:
                    return answer.json()
                trouble = f"HTTP {answer.status_code}: {answer.text[:500]}"
                if answer.status_code < 500:
                    raise LifecycleError(f"Airflow refused {method} {path}: {trouble}")
            if time.monotonic() > deadline:
                raise SourceUnavailableError(f"Airflow did not answer {method} {path} within {_PATIENCE:g} s: {trouble}")
            time.sleep(1.0)


def _plain_event(event: Any) -> str:
    """One log line; a structured one shows its event and its error."""
    if not isinstance(event, dict):
        return str(event)
    details = [f"{item['exc_type']}: {item['exc_value']}" for item in event.get("error_detail") or [] if "exc_type" in item]
    return " ".join([str(event.get("event", "")), *details]).strip()
