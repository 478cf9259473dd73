"""A training that failed: its requests are closed with the reason, the ledger says so, and that the champion keeps serving.

Called by the train Dag's last task, which runs only when another one failed. Nothing of a failed training touches an alias, a
candidate or the gateway; this stage makes that visible. Upkeep closes what even this stage could not (requests.release_stale).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.lifecycle.alerting.events import tell_event
from include.lifecycle.alerting.kinds import TRAINING_FAILED
from include.lifecycle.database import lock_model, transaction
from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.ledger import Entry
from include.lifecycle.registry.client import champion_version, registry_calls
from include.lifecycle.results import FailedTraining
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.requests import finish_requests

NO_WORD = "it ended without a word"
_LONGEST = 600  # characters of one task's reason


def report_failure(
    spec: ModelSpec, rt: Runtime, run: RunContext, failed: Mapping[str, str | None], mlflow_run: str | None
) -> FailedTraining:
    """Close the run's requests as failed and write one ledger entry; again for the same failure, nothing is written twice.

    `failed` maps each failed task to its reason, None where it died without one; `mlflow_run` is the training's parent run.

    Raises SourceUnavailableError when the database does not answer. MLflow may be what failed, so it is not needed.
    """
    champion, serving = _champion(rt, spec.name)
    told = {task: (reason or NO_WORD)[:_LONGEST] for task, reason in sorted(failed.items())}
    why = "; ".join(f"{task}: {reason}" for task, reason in told.items()) or "a task failed"
    message = f"training failed at {why}. {serving}"
    about: dict[str, Any] = {"key": "newest", "reason": message, "actor": run.actor, "run": run.run_id, "tasks": sorted(told)}
    with transaction(rt.engine) as connection:  # both or none: upkeep tells only of requests that are claimed still
        lock_model(connection, spec.name)
        tell_event(connection, rt, TRAINING_FAILED, spec.name, **about)
        closed = finish_requests(rt, spec.name, run.run_id, "failed", None, message, connection)
    entry = rt.ledger.write(
        Entry(
            model=spec.name,
            kind="training",
            act="training failed",
            reason=message,
            actor=run.actor,
            phase="failed",
            version_before=champion,
            version_after=champion,
            spec_hash=spec.digest,
            run_id=run.run_id,
            idempotency_key=f"training-failed:{spec.name}:{run.run_id}:{','.join(told)}",
            evidence={"tasks": told, "requests_closed": closed},
        )
    )
    if mlflow_run is not None:
        _end_run(rt, mlflow_run)
    return FailedTraining(model=spec.name, champion=champion, tasks=told, requests=closed, message=message, ledger_id=entry)


def _champion(rt: Runtime, model: str) -> tuple[int | None, str]:
    try:
        champion = champion_version(rt, model)
    except SourceUnavailableError:
        return None, "The champion keeps serving (MLflow did not say which version that is)."
    if champion is None:
        return None, "No version serves yet."
    return champion, f"Version {champion} keeps serving."


def _end_run(rt: Runtime, mlflow_run: str) -> None:
    """Mark the MLflow run as failed; one that cannot be marked stays as it is, which changes no decision."""
    try:
        with registry_calls(rt, f"ending run {mlflow_run}") as client:
            client.set_terminated(mlflow_run, status="FAILED")
    except SourceUnavailableError:
        return
