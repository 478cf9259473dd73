"""What registration writes into MLflow: logged model, version, tags, metrics; each found again by the run's id after a kill."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from include.lifecycle.data.transformer import source_digest
from include.lifecycle.database import lock_model, transaction
from include.lifecycle.registry.client import ensure_experiment, registry_calls, versions_of
from include.lifecycle.registry.semver import (
    CHANGE_TAG,
    INTERFACE_TAG,
    RULES_TAG,
    SEMVER_TAG,
    interface_hash,
    newest_numbered,
    next_semver,
    training_hash,
)
from include.lifecycle.registry.stages import NO_STAGE, STAGE_TAG
from include.lifecycle.results import Evaluation, PreparedData, Snapshot, TrainedModel, TrainingOrder
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel

RUN_TAG = "run_id"
_LONGEST_TAG = 4_000  # MLflow refuses tags above 5,000 characters


@dataclass(frozen=True)
class Registry:
    """MLflow as one training run sees it: the model's name and the run's id identify everything that it writes."""

    rt: Runtime
    model: str
    run_id: str

    def find_version(self) -> int | None:
        """The version that this run registered, complete or not; None when there is none."""
        query = f"name='{self.model}' and tags.{RUN_TAG}='{_quoted(self.run_id)}'"
        with registry_calls(self.rt, f"looking for the version of run {self.run_id}") as client:
            found = client.search_model_versions(query, max_results=10)
        return min((int(entry.version) for entry in found), default=None)

    def tags(self, version: int) -> dict[str, str]:
        """The version's tags as they are now."""
        with registry_calls(self.rt, f"reading version {version} of {self.model}") as client:
            return dict(client.get_model_version(self.model, str(version)).tags)

    def ensure_logged_model(self, trained: TrainedModel) -> str:
        """Id of this run's logged model: the files of a version before it has its number."""
        experiment = ensure_experiment(self.rt, self.model)
        with registry_calls(self.rt, f"opening the logged model of run {self.run_id}") as client:
            query = f"tags.{RUN_TAG} = '{_quoted(self.run_id)}'"
            found: list[LoggedModel] = list(client.search_logged_models([experiment], query, max_results=1))
            if found:
                return str(found[0].model_id)
            params = {name: str(value) for name, value in trained.params.items()} | {"algorithm": trained.algorithm}
            made = client.create_logged_model(
                experiment, name=self.model, source_run_id=trained.run_id, tags={RUN_TAG: self.run_id}, params=params
            )
            return str(made.model_id)

    def upload(self, logged: str, folder: Path, into: str | None = None) -> None:
        """Add a folder's files to the logged model (replacing files of the same name)."""
        with registry_calls(self.rt, f"uploading the files of run {self.run_id}") as client:
            client.log_model_artifacts(logged, str(folder), into)

    def upload_file(self, logged: str, file: Path) -> None:
        """Add one file to the logged model's top folder."""
        with registry_calls(self.rt, f"uploading {file.name} of run {self.run_id}") as client:
            client.log_model_artifact(logged, str(file))

    def ensure_version(self, logged: str, mlflow_run: str, tags: dict[str, str], description: str) -> int:
        """The run's version, made under the model's lock so that two tries of one task cannot make two.

        Its semantic version is counted in here too, so that no two versions can get the same.
        """
        with transaction(self.rt.engine) as connection:
            lock_model(connection, self.model)
            self._ensure_name()
            if (version := self.find_version()) is not None:
                return version
            numbered = tags | self._number(tags)
            with registry_calls(self.rt, f"creating a version of {self.model}") as client:
                entry = client.create_model_version(
                    self.model,
                    source=f"models:/{logged}",
                    run_id=mlflow_run,
                    tags=numbered,
                    description=description[:_LONGEST_TAG],
                    model_id=logged,
                )
                return int(entry.version)

    def _number(self, tags: dict[str, str]) -> dict[str, str]:
        """Semantic version, the change behind it, and the version that it was counted from."""
        before = {int(entry.version): dict(entry.tags) for entry in versions_of(self.rt, self.model)}
        base = newest_numbered(before.values())
        number, change = next_semver(base, tags)
        parent = next((str(version) for version, held in before.items() if held is base), None)
        return {SEMVER_TAG: str(number), CHANGE_TAG: change} | ({"parent_version": parent} if parent else {})

    def _ensure_name(self) -> None:
        from mlflow.exceptions import MlflowException

        with registry_calls(self.rt, f"registering the name {self.model}") as client:
            try:
                client.create_registered_model(self.model)
            except MlflowException as problem:
                if getattr(problem, "error_code", None) != "RESOURCE_ALREADY_EXISTS":
                    raise

    def log_metrics(self, logged: str, mlflow_run: str, metrics: dict[str, float]) -> None:
        """Add hold-out metrics to the training's MLflow run and to the logged model, in one call."""
        from mlflow.entities import Metric

        now = round(time.time() * 1000)
        rows = [Metric(name, value, now, 0, model_id=logged) for name, value in metrics.items()]
        with registry_calls(self.rt, f"logging metrics to run {mlflow_run}") as client:
            client.log_batch(mlflow_run, metrics=rows)

    def complete(self, logged: str, version: int, tags: dict[str, str]) -> None:
        """Set the tags in their order, the one that says "complete" last."""
        with registry_calls(self.rt, f"completing version {version} of {self.model}") as client:
            client.finalize_logged_model(logged, "READY")
            for name, value in tags.items():
                client.set_model_version_tag(self.model, str(version), name, value)


def version_tags(
    spec: ModelSpec,
    rt: Runtime,
    run: RunContext,
    order: TrainingOrder,
    snapshot: Snapshot,
    prepared: PreparedData,
    trained: TrainedModel,
    evaluation: Evaluation,
) -> dict[str, str]:
    """Everything about a version that later stages and people ask for, as text."""
    objective = spec.objective.metric
    tags = {
        "model": spec.name,
        RUN_TAG: run.run_id,
        "algorithm": trained.algorithm,
        "model_digest": trained.digest,
        "snapshot_id": snapshot.snapshot_id,
        "data_source": snapshot.source or spec.data.source,
        "excluded_windows": json.dumps(snapshot.excluded_windows),
        "spec_hash": spec.digest,
        INTERFACE_TAG: interface_hash(spec, source_digest(prepared.train)),
        RULES_TAG: training_hash(spec),
        "mlflow_run_id": trained.run_id,
        "requests": json.dumps(order.request_ids),
        "method": trained.method,
        "fit_until": prepared.fit_until.isoformat(),
        "holdout_until": prepared.holdout_until.isoformat(),
        "quarantined_rows": str(prepared.quarantined_rows),
        "window_start": order.window_start.isoformat(),
        "window_end": order.window_end.isoformat(),
        "source": order.source,
        "reason": order.reason,
        "cause": json.dumps(order.cause, sort_keys=True, default=str),
        "outcome": evaluation.outcome.value,
        "deployable": str(evaluation.deployable).lower(),
        "proven_better": str(evaluation.proven_better).lower(),
        "registered_at": rt.clock.now().isoformat(),
        STAGE_TAG: "Staging" if evaluation.deployable else NO_STAGE,
    }
    if spec.features.transformer:
        tags |= {"transformer": spec.features.transformer, "transformer_digest": source_digest(prepared.train) or ""}
    if objective in evaluation.metrics:
        tags |= {"metric": objective, "metric_value": f"{evaluation.metrics[objective]:.6f}"}
    if order.champion is not None:
        tags["champion_before"] = str(order.champion)
    if revision := git_revision(rt.settings.home):
        tags["git_revision"] = revision
    return {name: value[:_LONGEST_TAG] for name, value in (trained.tags | tags).items()}


def git_revision(folder: Path) -> str | None:
    """The commit that `folder` stands at, or None where there is no git or no repository."""
    try:
        asked = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.strip() if asked.returncode == 0 else None


def _quoted(text: str) -> str:
    return text.replace("'", "\\'")
