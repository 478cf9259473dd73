"""Evidently's report of one window against the training reference, on a bounded sample, for people to read.

Nothing is decided by it: the judged numbers are drift.py's, by the same definitions unless the model asks for KL.
window_reports.py says of which windows, and where the HTML goes; workspace.py keeps it for Evidently's own UI.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.columns import categories, numbers
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.profile import PREDICTION, CategoricalProfile, Profile
from include.lifecycle.spec import ModelSpec

if TYPE_CHECKING:
    import pandas
    from evidently.core.report import Snapshot


def evidently_snapshot(spec: ModelSpec, profile: Profile, window: Predictions, *, seed: int = 0) -> Snapshot:
    """Evidently's data drift preset on at most `monitoring.report_rows` rows a side; the same seed draws the same rows.

    The reference is rebuilt column by column from the profile, so columns keep their distributions and lose their joint one.
    """
    os.environ.setdefault("DO_NOT_TRACK", "1")  # Evidently would tell its makers of each run
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    random = np.random.default_rng(seed)
    numeric = [name for name in profile.numeric if name in profile.samples and np.isfinite(numbers(window.features[name])).any()]
    categorical = [name for name, stored in profile.categorical.items() if stored.counts and name in window.features]
    rows = spec.monitoring.report_rows
    current = _current(spec, window, numeric, categorical, min(rows, window.rows), random)
    reference = _reference(profile, numeric, categorical, min(rows, profile.train_rows), random)
    bar = spec.monitoring.drift.minimum_effect
    preset = DataDriftPreset(num_method="wasserstein", cat_method="jensenshannon", num_threshold=bar, cat_threshold=bar)
    by_class = isinstance(profile.prediction, CategoricalProfile)
    predicted = {"numerical_columns": [*numeric], "categorical_columns": [*categorical]}
    predicted["categorical_columns" if by_class else "numerical_columns"].append("prediction")
    columns = DataDefinition(**predicted)
    return Report([preset]).run(
        Dataset.from_pandas(current, data_definition=columns),
        Dataset.from_pandas(reference, data_definition=columns),
        timestamp=window.window.end,
        metadata={"model": spec.name, "version": str(window.version), "window_start": window.window.start.isoformat()},
        tags=[f"version {window.version}"],
        name=f"{spec.name} version {window.version}, {window.window.start:%Y-%m-%d %H:%M} UTC",
    )


def _current(
    spec: ModelSpec, window: Predictions, numeric: list[str], categorical: list[str], rows: int, random: np.random.Generator
) -> pandas.DataFrame:
    import pandas

    chosen = np.sort(random.choice(window.rows, rows, replace=False))
    columns: dict[str, Any] = {name: numbers(window.features[name])[chosen] for name in numeric}
    columns |= {name: categories(window.features[name])[chosen] for name in categorical}
    predicted: NDArray[Any] = window.values[chosen]
    if names := spec.objective.classes:
        predicted = np.array([*names, "(unknown)"], dtype=object)[np.minimum(predicted, len(names)).astype(np.intp)]
    return pandas.DataFrame(columns | {"prediction": predicted})


def _reference(
    profile: Profile, numeric: list[str], categorical: list[str], rows: int, random: np.random.Generator
) -> pandas.DataFrame:
    import pandas

    columns: dict[str, NDArray[Any]] = {name: random.choice(profile.samples[name], rows) for name in numeric}
    for name in categorical:
        columns[name] = _drawn(profile.categorical[name], rows, random)
    prediction = profile.prediction
    if isinstance(prediction, CategoricalProfile):
        return pandas.DataFrame(columns | {"prediction": _drawn(prediction, rows, random)})
    return pandas.DataFrame(columns | {"prediction": random.choice(profile.samples[PREDICTION], rows)})


def _drawn(stored: CategoricalProfile, rows: int, random: np.random.Generator) -> NDArray[Any]:
    shares = np.array(list(stored.counts.values()), dtype=np.float64)
    return random.choice(np.array(list(stored.counts), dtype=object), rows, p=shares / shares.sum())
