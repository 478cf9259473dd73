"""Airflow's REST API as the command line needs it: log in, read Dag files anew, start and follow runs. Imports no Airflow."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from include.lifecycle.errors import LifecycleError, SettingsError, SourceUnavailableError
from include.settings import Settings

_PAGE = 100


class AirflowRefusedError(LifecycleError):
    """Airflow answered and said no; the message holds the request, the status and Airflow's own words."""


class AirflowApi:
    """A logged-in client; use it as a context manager. Every method raises SourceUnavailableError when Airflow is silent."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._http = httpx.Client(base_url=settings.airflow_url, timeout=10, trust_env=False)

    def __enter__(self) -> Self:
        try:
            token = self._token()
        except LifecycleError:
            self._http.close()
            raise
        self._http.headers["Authorization"] = f"Bearer {token}"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._http.close()

    def file_tokens(self) -> dict[str, str]:
        """The token of its file, by Dag id; stale Dags too, since a broken YAML makes a model's Dags stale."""
        return {dag["dag_id"]: dag["file_token"] for dag in self._pages("/api/v2/dags", "dags", exclude_stale=False)}

    def parse_file(self, token: str) -> None:
        """Ask for one Dag file to be read now; the dag-processor does it within seconds. Asking twice is asking once."""
        self._call("PUT", f"/api/v2/parseDagFile/{token}", asked_already=409)

    def import_errors(self) -> dict[str, str]:
        """Stack trace by file of the Dag files that Airflow could not read."""
        return {row["filename"]: row["stack_trace"] for row in self._pages("/api/v2/importErrors", "import_errors")}

    def health(self) -> dict[str, dict[str, Any]]:
        """What Airflow says of metadatabase, scheduler, triggerer and dag_processor: {component: {"status": ...}}."""
        found = self._call("GET", "/api/v2/monitor/health")
        return {part: state for part, state in found.items() if isinstance(state, dict)}

    def paused_dags(self) -> dict[str, bool]:
        """Whether each Dag is paused, by its id; Dags whose files are gone are left out."""
        return {dag["dag_id"]: bool(dag["is_paused"]) for dag in self._pages("/api/v2/dags", "dags")}

    def run_counts(self) -> dict[tuple[str, str], int]:
        """How many runs of each Dag Airflow keeps, by (Dag id, state)."""
        dags = self._call("GET", "/api/v2/dagStats")["dags"]
        return {(dag["dag_id"], stat["state"]): int(stat["count"]) for dag in dags for stat in dag["stats"]}

    def count_runs(self, *, dag_id_prefix: str, state: str, ended_since: str) -> int:
        """How many runs of the Dags with that prefix ended in `state` since then (ISO 8601)."""
        asked = {"dag_id_prefix_pattern": dag_id_prefix, "state": state, "end_date_gte": ended_since, "limit": 1}
        return int(self._call("GET", "/api/v2/dags/~/dagRuns", params=asked)["total_entries"])

    def is_paused(self, dag_id: str) -> bool:
        """Whether the Dag's runs would wait; AirflowRefusedError when Airflow knows no such Dag."""
        return bool(self._call("GET", f"/api/v2/dags/{dag_id}")["is_paused"])

    def start_run(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> None:
        """Start a run under an id of the caller's: asking twice starts one."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", asked_already=409, json=body)

    def run_state(self, dag_id: str, run_id: str) -> str:
        """State of a run: queued, running, success or failed."""
        return str(self._call("GET", _run(dag_id, run_id))["state"])

    def task_states(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Task instances of a run with `task_id`, `map_index`, `try_number`, `state`, `start_date`, `end_date`; at most 100."""
        found = self._call("GET", f"{_run(dag_id, run_id)}/taskInstances", params={"limit": _PAGE})
        return list(found["task_instances"])

    def result(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """What a task of the run returned."""
        found = self._call("GET", f"{_run(dag_id, run_id)}/taskInstances/{task_id}/xcomEntries/return_value")["value"]
        plain: dict[str, Any] = json.loads(found) if isinstance(found, str) else found
        return plain

    def log_end(self, dag_id: str, run_id: str, task: dict[str, Any], lines: int = 12) -> str:
        """The last lines of a task instance's log."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task['task_id']}/logs/{max(1, task['try_number'])}"
        mapped = {"map_index": task["map_index"]} if task["map_index"] >= 0 else {}
        events = self._call("GET", path, params={"full_content": True} | mapped)["content"]
        return "\n".join([line for event in events if (line := _plain_event(event))][-lines:])

    def _pages(self, path: str, key: str, **filters: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = self._call("GET", path, params={"limit": _PAGE, "offset": len(found)} | filters)
            found += page[key]
            if not page[key] or len(found) >= page["total_entries"]:
                return found

    def _call(self, method: str, path: str, *, asked_already: int | None = None, **arguments: Any) -> Any:
        try:
            answer = self._http.request(method, path, headers={"accept": "application/json"}, **arguments)
        except httpx.TransportError as problem:
            raise SourceUnavailableError(f"Airflow at {self._settings.airflow_url} did not answer: {problem}") from problem
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            failed = f"{answer.status_code} {answer.text[:300]}"
            raise SourceUnavailableError(f"Airflow at {self._settings.airflow_url} failed on {method} {path}: {failed}")
        if answer.is_error and answer.status_code != asked_already:
            said = " ".join(answer.text.split())[:300]
            raise AirflowRefusedError(f"Airflow refused {method} {path.partition('?')[0]}: {answer.status_code} {said}")
        return answer.json() if answer.content else None

    def _token(self) -> str:
        """The token of the file that MODELOPS_AIRFLOW_TOKEN_FILE names, else one for a user of the passwords' file."""
        if (file := self._settings.airflow_token_file) is None:
            user, password = self._credentials()
            return str(self._call("POST", "/auth/token", json={"username": user, "password": password})["access_token"])
        try:
            token = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as problem:
            raise SettingsError(f"MODELOPS_AIRFLOW_TOKEN_FILE {file} cannot be read: {problem}") from problem
        if not token or not token.isprintable() or not token.isascii():
            raise SettingsError(f"MODELOPS_AIRFLOW_TOKEN_FILE {file}: expected one line with Airflow's access token")
        return token

    def _credentials(self) -> tuple[str, str]:
        file = self._settings.airflow_passwords
        try:
            passwords = json.loads(file.read_text(encoding="utf-8"))
            user = "admin" if "admin" in passwords else next(iter(passwords))
            return user, str(passwords[user])
        except (OSError, ValueError, TypeError, StopIteration, KeyError) as problem:
            raise SettingsError(
                f"MODELOPS_AIRFLOW_PASSWORDS {file}: {type(problem).__name__}; expected a JSON file {{user: password}}"
            ) from problem


def _run(dag_id: str, run_id: str) -> str:
    return f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def _plain_event(event: Any) -> str:
    """One log line; a structured one shows its event and its error."""
    if not isinstance(event, dict):
        return str(event)
    details = [f"{item['exc_type']}: {item['exc_value']}" for item in event.get("error_detail") or [] if "exc_type" in item]
    return " ".join([str(event.get("event", "")), *details]).strip()
