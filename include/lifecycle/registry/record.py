"""`record.json` of a version: everything that made it, so that `replay` can make it again and people can see what it came from.

Effective spec, order, split, snapshot, training's own record, SQL, and the environment. Registration writes it into the version.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from include.lifecycle.errors import ArtefactDigestError
from include.lifecycle.evaluation.sample import rows_digest
from include.lifecycle.registry.entries import git_revision
from include.lifecycle.results import PreparedData, Snapshot, TrainedModel, TrainingOrder
from include.lifecycle.spec import ModelSpec
from include.lifecycle.storage import sha256_of
from include.settings import PROJECT_ROOT, Settings

if TYPE_CHECKING:
    import pandas as pd

RECORD = "record.json"
_PACKAGES = ("scikit-learn", "lightgbm", "numpy", "pandas", "scipy", "pyarrow", "optuna", "skops", "skl2onnx", "onnxruntime")
_TRAINING_RECORD = "training.json"
_CODE = ("lifecycle", "serving", "features")  # what decides numbers; the demo and the local stack do not


class VersionRecord(BaseModel):
    """Content of `record.json`, JSON-plain. `data` is the split without its paths, with the hold-out's rows as a digest."""

    model_config = ConfigDict(frozen=True)

    model: str
    run_id: str
    mlflow_run_id: str
    spec: dict[str, Any]
    spec_hash: str
    order: TrainingOrder
    data: dict[str, Any]
    snapshot: Snapshot
    algorithm: str
    params: dict[str, Any]
    training: dict[str, Any]
    queries: dict[str, str]
    environment: dict[str, Any]


def build_record(
    spec: ModelSpec,
    settings: Settings,
    run_id: str,
    order: TrainingOrder,
    snapshot: Snapshot,
    prepared: PreparedData,
    trained: TrainedModel,
    holdout: pd.DataFrame,
) -> VersionRecord:
    """Gather the record from what the stages handed on."""
    told = trained.folder / _TRAINING_RECORD
    data = prepared.model_dump(mode="json", exclude={"train", "holdout"})
    return VersionRecord(
        model=spec.name,
        run_id=run_id,
        mlflow_run_id=trained.run_id,
        spec=spec.model_dump(mode="json"),
        spec_hash=spec.digest,
        order=order,
        data=data | {"holdout_digest": rows_digest(spec, holdout)},
        snapshot=snapshot,
        algorithm=trained.algorithm,
        params=trained.params,
        training=json.loads(told.read_text(encoding="utf-8")) if told.is_file() else {},
        queries=_queries(spec, settings),
        environment=environment(settings),
    )


def read_record(folder: Path) -> VersionRecord:
    """Read the record of a downloaded version; ArtefactDigestError when it has none (it is older than records)."""
    try:
        return VersionRecord.model_validate_json((folder / RECORD).read_bytes())
    except (OSError, ValueError) as problem:
        raise ArtefactDigestError(f"{folder / RECORD} is no record of a version: {str(problem)[:300]}") from problem


def environment(settings: Settings) -> dict[str, Any]:
    """What may change numbers: code, locked packages, interpreter, machine. JSON-plain; None where it cannot be told."""
    return {
        "git_revision": git_revision(settings.home),
        "code_digest": code_digest(PROJECT_ROOT / "include", settings.home / "include" / "features"),
        "lock_digest": lock_digest(settings.home),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "packages": {name: found for name in _PACKAGES if (found := _installed(name))},
    }


def lock_digest(home: Path) -> str | None:
    """Sha256 (hex) of the compiled requirements, or None where there are none."""
    lock = home / "requirements.lock"
    return sha256_of(lock) if lock.is_file() else None


def code_digest(include: Path, features: Path) -> str:
    """Sha256 (hex) over the Python files that decide numbers: lifecycle, serving, and the models' own feature code."""
    folders = {name: features if name == "features" else include / name for name in _CODE}
    digest = hashlib.sha256()
    for name, folder in folders.items():
        for file in sorted(folder.rglob("*.py")):
            digest.update(f"{name}/{file.relative_to(folder).as_posix()}\0{sha256_of(file)}\n".encode())
    return digest.hexdigest()


def _queries(spec: ModelSpec, settings: Settings) -> dict[str, str]:
    """The text of the model's SQL files as they are now, by name; what is no file (a dataset) is left out."""
    named = [getattr(spec.data, "query", None), getattr(spec.labels, "query", None)]
    files = {name: settings.sql_dir / name for name in named if name}
    return {name: file.read_text(encoding="utf-8") for name, file in files.items() if file.is_file()}


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
