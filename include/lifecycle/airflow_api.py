"""Airflow's REST API as the command line needs it: log in, find Dag files, ask for a new reading. Imports no Airflow."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, Self

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
            user, password = self._credentials()
            answer = self._call("POST", "/auth/token", json={"username": user, "password": password})
        except LifecycleError:
            self._http.close()
            raise
        self._http.headers["Authorization"] = f"Bearer {answer['access_token']}"
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

    def _pages(self, path: str, key: str, **filters: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = self._call("GET", path, params={"limit": _PAGE, "offset": len(found)} | filters)
            found += page[key]
            if not page[key] or len(found) >= page["total_entries"]:
                return found

    def _call(self, method: str, path: str, *, asked_already: int | None = None, **arguments: Any) -> Any:
        try:
            answer = self._http.request(method, path, **arguments)
        except httpx.TransportError as problem:
            raise SourceUnavailableError(f"Airflow at {self._settings.airflow_url} did not answer: {problem}") from problem
        if answer.is_error and answer.status_code != asked_already:
            said = " ".join(answer.text.split())[:300]
            raise AirflowRefusedError(f"Airflow refused {method} {path.partition('?')[0]}: {answer.status_code} {said}")
        return answer.json() if answer.content else None

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
