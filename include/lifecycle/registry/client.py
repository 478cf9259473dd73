"""The way to MLflow: one client per address that fails quickly, and a context that turns MLflow errors into the lifecycle's.

Used by training (experiments, trials), registration, promotion and retirement; nobody else builds an MlflowClient.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from include.lifecycle.errors import SourceQueryError, SourceUnavailableError
from include.lifecycle.runtime import Runtime

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION, CHALLENGER, SHADOW, PREVIOUS = "champion", "challenger", "shadow", "previous"
ALIASES = (CHAMPION, CHALLENGER, SHADOW, PREVIOUS)

# MLflow's own defaults wait about four minutes for a dead server; an Airflow retry is the better place to wait.
_QUICK = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0.2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_ABSENT = "RESOURCE_DOES_NOT_EXIST"
_UNREACHABLE = ("failed with exception", "too many 5", "failed with error code 5", "INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE")


def registry_client(rt: Runtime) -> MlflowClient:
    """The process's client of this installation's MLflow server; nothing is connected before first use."""
    return _client(rt.settings.mlflow_url)


@lru_cache(maxsize=4)
def _client(url: str) -> MlflowClient:
    for name, value in _QUICK.items():
        os.environ.setdefault(name, value)
    import mlflow

    return mlflow.MlflowClient(tracking_uri=url, registry_uri=url)


@contextmanager
def registry_calls(rt: Runtime, doing: str) -> Iterator[MlflowClient]:
    """Yield the client; MLflow's errors inside become ours, with `doing` ("reading version 3 of churn") in the message.

    Raises:
        SourceUnavailableError: the server did not answer or failed (retryable).
        SourceQueryError: it answered and refused.
    """
    from mlflow.exceptions import MlflowException

    client = registry_client(rt)
    try:
        yield client
    except (MlflowException, OSError) as problem:
        where = f"MLflow at {rt.settings.mlflow_url}"
        text = str(problem).strip().splitlines()[0][:300] if str(problem).strip() else type(problem).__name__
        if _is_unreachable(problem):
            raise SourceUnavailableError(f"{where} did not answer while {doing}: {text}") from problem
        raise SourceQueryError(f"{where} refused {doing}: {text}") from problem


def _is_unreachable(problem: Exception) -> bool:
    if isinstance(problem, OSError):  # requests' exceptions are OSErrors; one with a response below 500 is an answer
        answered = getattr(problem, "response", None)
        local = isinstance(problem, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError)
        return not local if answered is None else int(answered.status_code) >= 500
    text = f"{getattr(problem, 'error_code', '')} {problem}"
    return any(mark in text for mark in _UNREACHABLE)


def is_absent(problem: Exception) -> bool:
    """Whether MLflow itself answered that the model, version, alias or run does not exist (no 404 of a proxy or wrong URL)."""
    from mlflow.exceptions import RestException

    code = getattr(problem, "error_code", None)
    missing_alias = code == "INVALID_PARAMETER_VALUE" and "not found" in str(problem)
    return isinstance(problem, RestException) and (code == _ABSENT or missing_alias)


def experiment_name(model: str) -> str:
    """Name of the MLflow experiment that groups a model's runs."""
    return f"modelops/{model}"


def ensure_experiment(rt: Runtime, model: str) -> str:
    """Id of the model's experiment, created on first use; two callers at once get the same one."""
    from mlflow.exceptions import MlflowException

    name = experiment_name(model)
    with registry_calls(rt, f"opening the experiment {name}") as client:
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(client.create_experiment(name, tags={"model": model}))
            except MlflowException as problem:
                if getattr(problem, "error_code", None) != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = client.get_experiment_by_name(name)
        return str(found.experiment_id)


def alias_version(rt: Runtime, model: str, alias: str) -> int | None:
    """Version that holds `alias`, or None when no version (or no such model) does."""
    from mlflow.exceptions import MlflowException

    with registry_calls(rt, f"reading alias {alias} of {model}") as client:
        try:
            return int(client.get_model_version_by_alias(model, alias).version)
        except MlflowException as problem:
            if is_absent(problem):
                return None
            raise


def champion_version(rt: Runtime, model: str) -> int | None:
    """Version that MLflow's alias `champion` names, or None before the first promotion."""
    return alias_version(rt, model, CHAMPION)


def aliases_of(rt: Runtime, model: str) -> dict[str, int]:
    """All of a model's aliases with their versions; empty when the model is not registered yet."""
    from mlflow.exceptions import MlflowException

    with registry_calls(rt, f"reading the aliases of {model}") as client:
        try:
            registered = client.get_registered_model(model)
        except MlflowException as problem:
            if is_absent(problem):
                return {}
            raise
        return {alias: int(version) for alias, version in dict(registered.aliases).items()}


def versions_of(rt: Runtime, model: str) -> list[Any]:
    """All of a model's registered versions (MLflow `ModelVersion`), oldest first."""
    with registry_calls(rt, f"listing the versions of {model}") as client:
        found, token = [], None
        while True:
            page = client.search_model_versions(f"name='{model}'", max_results=500, page_token=token)
            found += list(page)
            token = page.token
            if not token:
                return sorted(found, key=lambda version: int(version.version))
