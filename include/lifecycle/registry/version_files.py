"""Writes everything that a registered version consists of: MLflow's model, the served folder, the reference profile, the report.

registration.py uploads what stands here. The served folder's content depends on the version's number, so it is sealed last.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from include.lifecycle.data.transformer import transformer_copy
from include.lifecycle.monitoring.profile import build_profile
from include.lifecycle.registry.artefacts import (
    FILES_TAG,
    MANIFEST_TAG,
    PROFILE_FOLDER,
    PROFILE_TAG,
    SERVING_FOLDER,
    seal,
)
from include.lifecycle.registry.exports import write_exports
from include.lifecycle.registry.onnx_export import PARITY_ROWS, Export, export_onnx, spread_rows
from include.lifecycle.registry.record import RECORD, VersionRecord
from include.lifecycle.registry.scoring import (
    Floats,
    columns_of,
    describe,
    fitted_scores,
    known_categories,
    load_fitted,
    score,
    served_engine,
)
from include.lifecycle.reporting.card import write_card
from include.lifecycle.reporting.card_facts import card_facts
from include.lifecycle.results import Evaluation, TrainedModel
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.champion import MODEL_FILE, RECORD_FILE, TRAINING_FOLDER
from include.lifecycle.training.pipelines import feature_table
from include.serving.outputs import output_names
from include.serving.transformer import TRANSFORMER_FILE
from include.serving.trusted_types import TRUSTED_TYPES
from include.serving.version_folder import GOLDEN, MODEL_FILES, SERVING, ServingSpec, read_spec

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

EVALUATION_FOLDER, CARD_FOLDER, SNAPSHOT_POINTER = "evaluation", "card", "snapshot.dvc"
GOLDEN_ROWS = 50
GOLDEN_TOLERANCE = 1e-5
_REQUIREMENTS = ("scikit-learn", "skops", "numpy", "pandas", "scipy")


@dataclass(frozen=True)
class Material:
    """What the files are made of: the fitted pipeline, the rows it learnt from and was judged on, its scores on the latter."""

    pipeline: Pipeline
    train: pd.DataFrame
    holdout: pd.DataFrame
    scores: Floats
    transformer: Path | None = None


@dataclass(frozen=True)
class VersionFiles:
    """What was written before the version has its number."""

    export: Export
    profile_digest: str

    @property
    def tags(self) -> dict[str, str]:
        """The serving engine, and why it is not ONNX where it is not."""
        tags: dict[str, str] = {"engine": self.export.engine}
        if self.export.difference is not None:
            tags["onnx_difference"] = f"{self.export.difference:.3g}"
        return tags | ({"engine_reason": self.export.reason} if self.export.reason else {})


def read_material(spec: ModelSpec, trained: TrainedModel, train: Path, holdout: Path) -> Material:
    """Load the model by its digest and the prepared tables, and score the hold-out."""
    import pandas as pd

    pipeline, judged = load_fitted(trained), pd.read_parquet(holdout)
    scores = fitted_scores(pipeline, spec.features, judged)
    return Material(pipeline, pd.read_parquet(train), judged, scores, transformer_copy(train))


def write_version(
    root: Path, spec: ModelSpec, record: VersionRecord, trained: TrainedModel, evaluation: Evaluation, material: Material
) -> VersionFiles:
    """Everything that does not need the version's number, in `root` (must not exist); `write_numbered` adds the rest."""
    write_mlflow_model(root, spec, material)
    export = write_engine(root / SERVING_FOLDER, spec, trained, material)
    profile_digest = write_profile(root / PROFILE_FOLDER, spec, material)
    shutil.copytree(evaluation.report.parent, root / EVALUATION_FOLDER)
    (root / TRAINING_FOLDER).mkdir()
    for name in (MODEL_FILE, RECORD_FILE):  # warm starts and incremental trainings begin here
        if (trained.folder / name).is_file():  # a model that was trained elsewhere has no record
            shutil.copyfile(trained.folder / name, root / TRAINING_FOLDER / name)
    (root / SNAPSHOT_POINTER).write_text(record.snapshot.pointer, encoding="utf-8")
    (root / RECORD).write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return VersionFiles(export, profile_digest)


def write_numbered(
    root: Path,
    spec: ModelSpec,
    version: int,
    tags: Mapping[str, str],
    record: VersionRecord,
    evaluation: Evaluation,
    files: VersionFiles,
    material: Material,
) -> dict[str, str]:
    """What needs the version's number: served folder, exports, card, the manifest over all; returns the digests' tags."""
    digest = write_served(root, spec, version, files.export, material)
    serving = read_spec(root / SERVING_FOLDER)
    known = {**tags, **files.tags}
    exports = write_exports(root, spec, serving, known, material.holdout)
    write_card(root / CARD_FOLDER, card_facts(spec, version, known, record, evaluation, exports))
    return {PROFILE_TAG: files.profile_digest, FILES_TAG: seal(root), MANIFEST_TAG: digest}


def write_mlflow_model(folder: Path, spec: ModelSpec, material: Material) -> None:
    """MLflow's own model format in `folder` (must not exist): scikit-learn flavour by skops, signature, example, requirements."""
    import mlflow.sklearn
    from mlflow.models import infer_signature

    example = feature_table(spec.features, material.holdout.head(5))
    method = "predict" if spec.objective.task == "regression" else "predict_proba"
    boosted = type(material.pipeline.steps[-1][1]).__module__.startswith("lightgbm")
    requirements = (*_REQUIREMENTS, "lightgbm") if boosted else _REQUIREMENTS
    mlflow.sklearn.save_model(
        material.pipeline,
        str(folder),
        serialization_format="skops",
        skops_trusted_types=list(TRUSTED_TYPES),
        signature=infer_signature(example, getattr(material.pipeline, method)(example)),
        input_example=example,
        pip_requirements=[f"{name}=={installed(name)}" for name in requirements],
        pyfunc_predict_fn=method,
    )


def write_profile(folder: Path, spec: ModelSpec, material: Material) -> str:
    """The reference profile in `folder`, sealed; returns its manifest digest."""
    profile = build_profile(spec, material.train, material.holdout, material.scores, seed=spec.training.seed)
    profile.write(folder)
    return seal(folder)


def write_engine(folder: Path, spec: ModelSpec, trained: TrainedModel, material: Material) -> Export:
    """The file that serves: `model.onnx` if the pipeline converts and agrees on hold-out rows, else `model.skops`."""
    folder.mkdir(parents=True, exist_ok=True)
    if material.transformer is not None:
        shutil.copyfile(material.transformer, folder / TRANSFORMER_FILE)
    chosen = spread_rows(len(material.holdout), PARITY_ROWS)
    table = feature_table(spec.features, material.holdout.iloc[chosen])
    export = export_onnx(material.pipeline, spec.features, table, material.scores[chosen], folder / MODEL_FILES["onnx"])
    if export.engine == "sklearn":
        shutil.copyfile(trained.folder / MODEL_FILES["sklearn"], folder / MODEL_FILES["sklearn"])
    return export


def write_served(folder: Path, spec: ModelSpec, version: int, export: Export, material: Material) -> str:
    """Complete `folder/serving` for this version's number: serving.json, golden.json, manifest; returns the manifest digest."""
    target = folder / SERVING_FOLDER
    serving = describe(spec, version=version, engine=export.engine, known=known_categories(spec, material.train))
    (target / SERVING).write_text(serving.to_json(), encoding="utf-8")
    golden = golden_rows(spec, material.holdout)
    (target / GOLDEN).write_text(json.dumps(_golden(target, serving, golden), indent=1) + "\n", encoding="utf-8")
    return seal(target)


def golden_rows(spec: ModelSpec, holdout: pd.DataFrame) -> pd.DataFrame:
    """About fifty real hold-out rows, spread over time, with the first row of each column that has a null in it."""
    nulls = [int(np.argmax(holdout[name].isna().to_numpy())) for name in spec.features.read if holdout[name].isna().any()]
    positions = np.union1d(spread_rows(len(holdout), GOLDEN_ROWS), np.array(nulls, dtype=np.intp))
    return holdout.iloc[positions]


def _golden(folder: Path, serving: ServingSpec, rows: pd.DataFrame) -> dict[str, Any]:
    """An Open Inference Protocol request and what this very artefact answers to it."""
    engine, _ = served_engine(folder)
    columns = columns_of(rows, serving)
    tensors = [
        {"name": column.name, "shape": [len(rows)], "datatype": column.datatype, "data": _json_plain(columns[column.name])}
        for column in serving.inputs
    ]
    answers = score(engine, serving, rows)
    # a regression's rounding grows with its values; probabilities are at most 1
    tolerance = GOLDEN_TOLERANCE * max(1.0, float(np.abs(answers).max(initial=0.0)))
    output = output_names(serving)[-1]  # the numbers: probabilities where there are classes to choose from
    plain = {"output": output, "predictions": answers.ravel().tolist(), "tolerance": tolerance}
    return {"inputs": {"inputs": tensors}, **plain}


def _json_plain(values: list[Any]) -> list[Any]:
    return [None if value != value else value for value in values]  # noqa: PLR0124 - NaN is not itself; JSON has only null
