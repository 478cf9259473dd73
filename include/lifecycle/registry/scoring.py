"""Scores rows through the engines that serve: the champion's evaluation and golden requests see exactly what a client would.

A version is described by its ServingSpec (`serving.json`); columns are fed as the server feeds them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.data.pii import columns_with
from include.lifecycle.data.transformer import feature_columns
from include.lifecycle.errors import ArtefactDigestError
from include.lifecycle.results import TrainedModel
from include.lifecycle.spec import FeaturesSection, ModelSpec
from include.lifecycle.storage import sha256_of
from include.lifecycle.training.pipelines import feature_table
from include.serving.engines import Engine, load_engine
from include.serving.trusted_types import load_trusted
from include.serving.version_folder import MODEL_FILES, InputColumn, ServingSpec, VersionFolderInvalidError, read_spec

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

Floats = NDArray[np.float64]
BATCH_ROWS = 20_000  # one-hot columns of a whole hold-out at once would take gigabytes


def describe(
    spec: ModelSpec, *, version: int, engine: Literal["onnx", "sklearn"], known: dict[str, list[str]] | None = None
) -> ServingSpec:
    """What `serving.json` says of a version; `known` holds each categorical column's categories in training.

    `classes` are 0 and 1 (binary), the names in `objective.classes` (multiclass), none (regression).
    """
    binary = spec.objective.task == "binary_classification"
    numeric = [InputColumn(name, "numeric") for name in spec.features.read_numeric]
    categories = {name: tuple(known[name]) if known and name in known else None for name in spec.features.read_categorical}
    function = spec.features.transformer.partition(":")[2] if spec.features.transformer else None
    return ServingSpec(
        model=spec.name,
        version=version,
        task=spec.objective.task,
        engine=engine,
        key=spec.data.key,
        event_time=spec.data.event_time,
        target=spec.data.target,
        classes=(0, 1) if binary else tuple(spec.objective.classes),
        inputs=(*numeric, *(InputColumn(name, "categorical", known=values) for name, values in categories.items())),
        hashed=tuple(name for name in columns_with(spec, "hash") if name in (spec.data.key, *spec.features.read_categorical)),
        transformer=function,
        features=tuple(feature_columns(spec)) if function else (),
    )


def known_categories(spec: ModelSpec, train: pd.DataFrame) -> dict[str, list[str]]:
    """The categories of each categorical column of a request in training, sorted; nulls are no category."""
    return {name: sorted(train[name].dropna().astype(str).unique().tolist()) for name in spec.features.read_categorical}


def columns_of(frame: pd.DataFrame, serving: ServingSpec) -> dict[str, list[Any]]:
    """A table's features as the engines take them: floats with None or NaN for nulls, text with None for nulls."""
    columns: dict[str, list[Any]] = {}
    for column in serving.inputs:
        values = frame[column.name]
        if column.kind == "numeric":
            columns[column.name] = values.to_numpy(dtype=np.float64, na_value=np.nan).tolist()
        else:
            text = values.astype(object)
            columns[column.name] = text.where(values.notna(), None).tolist()
    return columns


def score(engine: Engine, serving: ServingSpec, frame: pd.DataFrame) -> Floats:
    """Each row's prediction as Engine.predict gives it, (n,) or (n, classes), in bounded batches."""
    batches = [frame.iloc[start : start + BATCH_ROWS] for start in range(0, len(frame), BATCH_ROWS)]
    scores = [engine.predict(columns_of(batch, serving), len(batch)) for batch in batches]
    nothing = np.empty((0, len(serving.classes))) if serving.task == "multiclass_classification" else np.empty(0)
    return np.concatenate(scores) if scores else nothing


def load_fitted(trained: TrainedModel) -> Pipeline:
    """The pipeline that training wrote; ArtefactDigestError when the file is missing, another one, or holds untrusted types."""
    path = trained.folder / MODEL_FILES["sklearn"]
    if not path.is_file():
        raise ArtefactDigestError(f"{path} is missing; training wrote it with sha256 {trained.digest}")
    return load_checked(path, trained.digest, name=str(path), by="training wrote")


def load_checked(path: Path, digest: str | None, *, name: str, by: str) -> Pipeline:
    """The pipeline in a skops file, loaded only after its sha256 is `digest`; `name` and `by` (whose digest it is) are told.

    Raises ArtefactDigestError when it is another file, or holds untrusted types.
    """
    if (got := sha256_of(path)) != digest:
        raise ArtefactDigestError(f"{name} has sha256 {got}; {by} {digest}")
    try:
        pipeline: Pipeline = load_trusted(path)
    except VersionFolderInvalidError as problem:
        raise ArtefactDigestError(str(problem)) from problem
    return pipeline


def fitted_scores(pipeline: Pipeline, features: FeaturesSection, rows: pd.DataFrame) -> Floats:
    """Each row's prediction by scikit-learn: P(target = 1) (n,) with two classes, probabilities (n, k) with more, values (n,) of
    a regression."""
    from sklearn.base import is_regressor

    table = feature_table(features, rows)
    if is_regressor(pipeline):
        return np.asarray(pipeline.predict(table), dtype=np.float64).reshape(len(rows))
    found = np.asarray(pipeline.predict_proba(table), dtype=np.float64)
    return found if found.shape[1] > 2 else found[:, 1]


def served_engine(folder: Path) -> tuple[Engine, ServingSpec]:
    """The engine of a verified version folder, as the model server loads it."""
    serving = read_spec(folder)
    return load_engine(folder, serving), serving
