"""A model's own training function (`training.entry_point: package.module:function`): its contract, its call, its result's checks.

The function gets the training rows and never the hold-out; what it returns goes the same way as any model: evaluated, registered,
served. Its source is found below the project's `include` and its digest travels with the version.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from include.lifecycle.data.targets import Labels, labels_of
from include.lifecycle.errors import EntryPointError
from include.lifecycle.rules.tuning import module_file
from include.lifecycle.spec import ModelSpec
from include.lifecycle.storage import sha256_of
from include.lifecycle.training.pipelines import feature_table, predictions_of
from include.serving.trusted_types import load_trusted
from include.serving.version_folder import VersionFolderInvalidError

if TYPE_CHECKING:
    import pandas as pd

CHECKED_ROWS = 1000
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingInput:
    """What a training function is given.

    `rows` is the Parquet file of the prepared training rows, oldest first; `table()` and `labels()` read it as the platform does,
    and what serves will ask the model for exactly such a table. `seed` and `threads` are to be obeyed. `champion` holds the
    serving version's parameters, None before the first one.
    """

    spec: ModelSpec
    rows: Path
    seed: int
    threads: int
    as_of: datetime
    champion: Mapping[str, Any] | None = None

    def frame(self) -> pd.DataFrame:
        """All columns of the training rows."""
        import pandas as pd

        return pd.read_parquet(self.rows)

    def table(self) -> pd.DataFrame:
        """The features (n, columns) in the YAML's order: float64 with NaN for null, text with `missing` for null."""
        return feature_table(self.spec.features, self.frame())

    def labels(self) -> Labels:
        """The target (n,): 0/1, class numbers, or values."""
        return labels_of(self.spec, self.frame())


@dataclass(frozen=True)
class TrainedBundle:
    """What a training function may return in place of the bare estimator: it with its name, parameters and own metrics."""

    estimator: Any
    algorithm: str = "custom"
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


class TrainingFunction(Protocol):
    """The contract: take a TrainingInput, return a fitted estimator (`predict`, and `predict_proba` to classify) or a bundle."""

    def __call__(self, inputs: TrainingInput) -> Any:
        """Train and return the fitted estimator or a TrainedBundle."""
        ...


def source_of(home: Path, entry_point: str) -> tuple[Path, str]:
    """The file that holds the function, and its sha256; EntryPointError when it is not in this project."""
    module = entry_point.partition(":")[0]
    file = module_file(home, module)
    if file is None:
        raise EntryPointError(f"training.entry_point {entry_point}: no module {module!r} below {home / 'include'}")
    return file, sha256_of(file)


def call_entry_point(home: Path, entry_point: str, inputs: TrainingInput) -> TrainedBundle:
    """Import the function from the project, call it, and check what it returned.

    Raises EntryPointError that names the function and what was wrong; the user's own traceback stays in the chain and in the log.
    """
    function = _function(home, entry_point)
    try:
        returned = function(inputs)
    except Exception as problem:
        _log.exception("training.entry_point %s failed", entry_point)
        raise EntryPointError(f"training.entry_point {entry_point} failed: {type(problem).__name__}: {problem}") from problem
    bundle = returned if isinstance(returned, TrainedBundle) else TrainedBundle(returned)
    _check(inputs, entry_point, bundle)
    return replace(bundle, estimator=_as_pipeline(bundle.estimator))


def _function(home: Path, entry_point: str) -> TrainingFunction:
    file, _ = source_of(home, entry_point)
    module_name, _, name = entry_point.partition(":")
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise EntryPointError(f"training.entry_point {entry_point}: {file} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and skops look their module up by name
    try:
        spec.loader.exec_module(module)
        function: TrainingFunction = getattr(module, name)
    except Exception as problem:
        _log.exception("training.entry_point %s cannot be imported", entry_point)
        raise EntryPointError(f"training.entry_point {entry_point}: {type(problem).__name__}: {problem}") from problem
    return function


def _as_pipeline(estimator: Any) -> Any:
    """A pipeline, as every model is after training: registration and export look at its last step."""
    from sklearn.pipeline import Pipeline

    return estimator if isinstance(estimator, Pipeline) else Pipeline([("model", estimator)])


def _check(inputs: TrainingInput, entry_point: str, bundle: TrainedBundle) -> None:
    """The estimator answers the platform's feature table with finite numbers, and the same after it was stored and loaded."""
    where = f"training.entry_point {entry_point}"
    asked = "predict" if inputs.spec.objective.task == "regression" else "predict_proba"
    if not callable(getattr(bundle.estimator, asked, None)):
        raise EntryPointError(f"{where} returned a {type(bundle.estimator).__name__} without {asked}, which this task needs")
    table = inputs.table().head(CHECKED_ROWS)
    before = _answers(inputs.spec, where, bundle.estimator, table)
    after = _answers(inputs.spec, where, _stored_and_loaded(where, bundle.estimator), table)
    if not np.array_equal(before, after):
        raise EntryPointError(f"{where}: its model answers otherwise after it was stored by skops and loaded again")
    if wrong := [name for name, value in bundle.metrics.items() if not np.isfinite(value)]:
        raise EntryPointError(f"{where}: metric {wrong[0]!r} is not finite")


def _answers(spec: ModelSpec, where: str, estimator: Any, table: pd.DataFrame) -> Any:
    try:
        found = predictions_of(spec, estimator, table)
    except Exception as problem:
        raise EntryPointError(
            f"{where}: its model does not answer a table of the columns {', '.join(table.columns)}: "
            f"{type(problem).__name__}: {problem}"
        ) from problem
    if found.shape[0] != len(table) or not np.isfinite(found).all():
        raise EntryPointError(f"{where}: {int((~np.isfinite(found)).sum())} of {found.size} predictions are not finite")
    if spec.objective.task != "regression" and ((found < 0) | (found > 1)).any():
        raise EntryPointError(f"{where}: predict_proba answers outside 0 to 1")
    return found


def _stored_and_loaded(where: str, estimator: Any) -> Any:
    import skops.io

    with TemporaryDirectory(prefix="modelops-entry-") as temporary:
        path = Path(temporary) / "model.skops"
        try:
            skops.io.dump(estimator, path)
        except Exception as problem:
            raise EntryPointError(f"{where}: skops cannot store its model: {problem}") from problem
        try:
            return load_trusted(path)
        except VersionFolderInvalidError as problem:
            raise EntryPointError(f"{where}: its model holds types that are not trusted: {problem}") from problem
