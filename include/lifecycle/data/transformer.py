"""`features.transformer` in training: the model's own code from include/features, read once by prepare_data, kept with the run.

prepare_data copies the source beside its tables; registration takes that copy into the version, so that what was trained with
is what serves, even if the file changed meanwhile.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from include.lifecycle.data.transformer_source import source_problem
from include.lifecycle.errors import DataInvalidError
from include.lifecycle.spec import ModelSpec
from include.serving.transformer import TRANSFORMER_FILE, Transformer, TransformerError
from include.serving.version_folder import InputColumn

if TYPE_CHECKING:
    import pandas as pd

_PROBED = 500
"""Rows, at most half of all, on which prepare_data proves that a row's features do not depend on the other rows."""


def input_columns(spec: ModelSpec) -> list[InputColumn]:
    """What query and request hold for the model, in the order of `features.read`."""
    numeric = [InputColumn(name, "numeric") for name in spec.features.read_numeric]
    return [*numeric, *(InputColumn(name, "categorical") for name in spec.features.read_categorical)]


def feature_columns(spec: ModelSpec) -> list[InputColumn]:
    """What the model reads, in the order of `features.all`."""
    numeric = [InputColumn(name, "numeric") for name in spec.features.numeric]
    return [*numeric, *(InputColumn(name, "categorical") for name in spec.features.categorical)]


def source_path(spec: ModelSpec, home: Path) -> Path:
    """The file that `features.transformer` names."""
    return home / "include" / "features" / f"{str(spec.features.transformer).partition(':')[0]}.py"


def with_features(spec: ModelSpec, home: Path, rows: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """`rows` (n rows) with the features that the transformer makes; its source is copied into `folder`. Unchanged without one.

    Raises:
        DataInvalidError: the source is missing or not allowed, or breaks its contract: other rows, missing or wrong columns, or a
            row's features that depend on the other rows.
    """
    if not spec.features.transformer:
        return rows
    source, function = source_path(spec, home), spec.features.transformer.partition(":")[2]
    where = f"model {spec.name}, features.transformer {spec.features.transformer}"
    if not source.is_file():
        raise DataInvalidError(f"{where}: {source} does not exist")
    content = source.read_bytes()
    if problem := source_problem(content.decode(), function):
        raise DataInvalidError(f"{where}: {source}: {problem}")
    copy = folder / TRANSFORMER_FILE
    copy.write_bytes(content)
    try:
        transformer = Transformer.load(copy, function, input_columns(spec), feature_columns(spec))
        made = transformer.apply(rows)
        _check_rows_stand_alone(transformer, rows, made)
    except TransformerError as broken:
        raise DataInvalidError(f"{where}: {broken}") from broken
    return rows.assign(**{name: made[name] for name in spec.features.all})


def transformer_copy(train: Path) -> Path | None:
    """The source that the prepared table `train` was made with; None without a transformer."""
    copy = train.parent / TRANSFORMER_FILE
    return copy if copy.is_file() else None


def source_digest(train: Path) -> str | None:
    """Sha256 (hex) of that source."""
    copy = transformer_copy(train)
    return hashlib.sha256(copy.read_bytes()).hexdigest() if copy else None


def _check_rows_stand_alone(transformer: Transformer, rows: pd.DataFrame, made: pd.DataFrame) -> None:
    """A row must get the same features in another order and among other rows: a request holds one row, training all."""
    chosen = np.random.default_rng(0).permutation(len(rows))[: min(_PROBED, max(1, len(rows) // 2))]
    again, expected = transformer.apply(rows.iloc[chosen]), made.iloc[chosen]
    for column in transformer.features:
        one, other = again[column.name], expected[column.name]
        same = (one == other) | (one.isna() & other.isna())
        if column.kind == "numeric":
            same |= np.isclose(one.to_numpy(), other.to_numpy(), rtol=1e-9, atol=1e-12, equal_nan=True)
        if not same.all():
            raise TransformerError(
                f"transformer {transformer.name}: {column.name} of {int((~same).sum())} of {len(chosen)} rows changes with the "
                "other rows; a request holds a few rows only, so a feature may depend on its own row alone"
            )
