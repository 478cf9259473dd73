"""What the champion was trained with, and its fitted pipeline: warm starts and incremental trainings begin here.

Both lie in the version's folder `training/`, as train_model wrote them; the pipeline is loaded only after its digest matched.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from include.lifecycle.errors import ArtefactDigestError, SourceQueryError
from include.lifecycle.registry.artefacts import model_version
from include.lifecycle.registry.client import registry_calls
from include.lifecycle.registry.scoring import load_checked
from include.lifecycle.runtime import Runtime

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from sklearn.pipeline import Pipeline

TRAINING_FOLDER = "training"
MODEL_FILE, RECORD_FILE = "model.skops", "training.json"


def training_record(rt: Runtime, model: str, version: int) -> dict[str, Any] | None:
    """The version's `training.json`: algorithm, params, method, seed and more; None for a version that was stored without one."""
    with TemporaryDirectory(prefix="modelops-champion-") as temporary:
        try:
            path = _fetch(rt, model_version(rt, model, version), RECORD_FILE, Path(temporary))
        except SourceQueryError:  # MLflow answered: no such file
            return None
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            return None
    return record if isinstance(record, dict) and isinstance(record.get("params"), dict) else None


def fitted_pipeline(rt: Runtime, model: str, version: int) -> Pipeline:
    """The version's fitted pipeline as training wrote it.

    Raises ArtefactDigestError when it is missing, another file than was registered, or holds untrusted types.
    """
    entry = model_version(rt, model, version)
    where = f"version {version} of {model}"
    with TemporaryDirectory(prefix="modelops-champion-") as temporary:
        try:
            path = _fetch(rt, entry, MODEL_FILE, Path(temporary))
        except SourceQueryError as problem:
            raise ArtefactDigestError(f"{where} has no {TRAINING_FOLDER}/{MODEL_FILE} to learn on from: {problem}") from problem
        name = f"{TRAINING_FOLDER}/{MODEL_FILE} of {where}"
        return load_checked(path, entry.tags.get("model_digest"), name=name, by="registered was")


def _fetch(rt: Runtime, entry: ModelVersion, name: str, into: Path) -> Path:
    from mlflow.artifacts import download_artifacts

    with registry_calls(rt, f"fetching {TRAINING_FOLDER}/{name} of {entry.name} version {entry.version}") as client:
        location = client.get_logged_model(str(entry.source).removeprefix("models:/")).artifact_location
        uri = f"{location}/{TRAINING_FOLDER}/{name}"
        return Path(download_artifacts(uri, dst_path=str(into), tracking_uri=rt.settings.mlflow_url))
