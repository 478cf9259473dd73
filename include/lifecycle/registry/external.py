"""A model that somebody trained elsewhere becomes a version like any other: data, gates, digest, candidate (`cli log-model`).

The file must be skops (no pickle is ever loaded) and take the model's own features. Rows up to `fit_until` are its training rows;
it is judged on later ones only.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import is_zipfile

from include.lifecycle.errors import ArtefactDigestError, DataInvalidError, LifecycleError
from include.lifecycle.results import Evaluation, FetchedData, PreparedData, RegisteredVersion, TrainedModel, TrainingOrder
from include.lifecycle.spec import ModelSpec
from include.lifecycle.storage import sha256_of, whole_folder
from include.lifecycle.training.champion import RECORD_FILE
from include.lifecycle.training.local import LocalTraining
from include.serving.trusted_types import load_trusted
from include.serving.version_folder import MODEL_FILES, VersionFolderInvalidError

if TYPE_CHECKING:
    import pandas as pd


class ModelFileRefusedError(LifecycleError):
    """The file is no skops file, holds untrusted types, or does not fit the model's features."""


@dataclass(frozen=True)
class ExternalModel:
    """What was brought: the skops file, the newest event time that it learnt from, its family's name and what was measured."""

    file: Path
    fit_until: datetime
    algorithm: str
    metrics: Mapping[str, float] = field(default_factory=dict)


def check_file(file: Path) -> Any:
    """The fitted object in a skops file.

    Raises:
        ModelFileRefusedError: missing, another format (a pickle runs code when it is loaded), or types that are not trusted.
    """
    if not file.is_file():
        raise ModelFileRefusedError(f"{file} is no file")
    if not is_zipfile(file):
        raise ModelFileRefusedError(
            f"{file} is no skops file; pickles and joblib files are refused, since loading one runs its code: "
            "write the model by skops.io.dump(model, 'model.skops')"
        )
    try:
        return load_trusted(file)
    except VersionFolderInvalidError as problem:
        raise ModelFileRefusedError(str(problem)) from problem


def log_model(training: LocalTraining, brought: ExternalModel, conf: dict[str, Any]) -> tuple[Evaluation, RegisteredVersion]:
    """Register the model through the same gates as a training of ours.

    Raises:
        ModelFileRefusedError: see check_file; or it cannot score the model's rows.
        DataInvalidError: no rows on one side of `fit_until`.
        TrainingRefusedError: freeze, budget, open rollout or another training.
    """
    from include.lifecycle.training.tracking import log_to_run, open_parent_run

    check_file(brought.file)
    order = training.confirm(conf)
    fetched, snapshot = training.data(order)
    prepared = split_at(training, fetched, brought.fit_until)
    with training.stage("train_model") as run:
        _, parent = open_parent_run(training.spec, training.rt, run, order)
        trained = _trained(training, brought, order, prepared, parent)
        told = {"algorithm": brought.algorithm, "method": "external", "fit_until": brought.fit_until.isoformat()}
        measured = {f"external_{name}": value for name, value in brought.metrics.items()}
        log_to_run(training.rt, parent, told | {"digest": trained.digest}, measured, end=True)
    return training.finish(order, snapshot, prepared, trained)


def split_at(training: LocalTraining, fetched: FetchedData, fit_until: datetime) -> PreparedData:
    """The fetched rows as prepare_data writes them, cut where the foreign training ended."""
    import pandas as pd

    from include.lifecycle.data.preparation import clean, write_sides

    spec = training.spec
    frame = clean(spec, pd.read_parquet(fetched.path))
    with training.stage("prepare_data") as run:
        prepared = write_sides(
            spec, training.rt, run, frame, lambda rows: _sides(spec, rows, fit_until), quarantined_rows=fetched.quarantined_rows
        )
    return prepared.model_copy(update={"fit_until": fit_until})


def _sides(spec: ModelSpec, frame: pd.DataFrame, fit_until: datetime) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows up to `fit_until`, and those after it."""
    import pandas as pd

    seen = frame[spec.data.event_time] <= pd.Timestamp(fit_until)
    train, holdout = frame[seen], frame[~seen]
    if train.empty or holdout.empty:
        sides = f"{len(train)} rows up to --fit-until {fit_until:%Y-%m-%d %H:%M} UTC, {len(holdout)} after it"
        raise DataInvalidError(
            f"model {spec.name}: {sides}; both are needed: the profile is made of the former, gates of the latter"
        )
    return train, holdout


def _trained(
    training: LocalTraining, brought: ExternalModel, order: TrainingOrder, prepared: PreparedData, parent: str
) -> TrainedModel:
    """The file in the stage's folder under its digest, after it has scored some rows."""
    import pandas as pd

    from include.lifecycle.registry.scoring import fitted_scores, load_fitted

    folder = training.run("train_model").folder(training.rt.storage)
    with whole_folder(folder) as temporary:
        shutil.copyfile(brought.file, temporary / MODEL_FILES["sklearn"])
        digest = sha256_of(temporary / MODEL_FILES["sklearn"])
        told = {"algorithm": brought.algorithm, "params": {}, "method": "external", "digest": digest}
        told |= {"run_id": training.run_id, "fit_until": brought.fit_until.isoformat(), "metrics": dict(brought.metrics)}
        (temporary / RECORD_FILE).write_text(json.dumps(told, indent=1), encoding="utf-8")
    trained = TrainedModel(folder=folder, digest=digest, algorithm=brought.algorithm, params={}, run_id=parent, seconds=0.0)
    try:
        fitted_scores(load_fitted(trained), training.spec.features, pd.read_parquet(prepared.holdout).head(100))
    except ArtefactDigestError:
        raise
    except Exception as problem:
        reads = ", ".join(training.spec.features.all)
        raise ModelFileRefusedError(f"{brought.file} cannot score rows of {order.model} ({reads}): {problem}") from problem
    return trained
