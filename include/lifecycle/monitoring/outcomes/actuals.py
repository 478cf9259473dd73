"""Predictions beside what came of them: one record per answered row with its actual value and its latency, a day at a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from include.lifecycle.data.training_source import Access
from include.lifecycle.monitoring.labels import fetch_labels
from include.lifecycle.monitoring.predictions import open_log
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec

if TYPE_CHECKING:
    import pyarrow

PIECE = timedelta(days=1)


def write_actuals(spec: ModelSpec, rt: Runtime, access: Access, start: datetime, end: datetime, path: Path) -> tuple[int, int]:
    """Write `path` (.parquet, else CSV) for event times [start, end); return rows, and those with a mature label.

    Columns: model_version, event_time, key, prediction, probabilities (multiclass), latency_ms, actual (null until mature; a
    class's number for multiclass, as `prediction`). Raises SourceUnavailableError, or SourceQueryError of the labels query.
    """
    import pyarrow.csv
    import pyarrow.parquet

    rows = labelled = 0
    part = path.with_name(f"{path.name}.part")
    schema = _schema(spec, tabular=path.suffix == ".parquet")
    kind = pyarrow.parquet.ParquetWriter if path.suffix == ".parquet" else pyarrow.csv.CSVWriter
    try:
        with kind(part, schema) as writer:
            for columns in _pieces(spec, rt, access, start, end):
                writer.write_table(pyarrow.table([columns[name] for name in schema.names], schema=schema))
                rows, labelled = rows + len(columns["key"]), labelled + int(np.isfinite(columns["actual"]).sum())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return rows, labelled


def _pieces(spec: ModelSpec, rt: Runtime, access: Access, start: datetime, end: datetime) -> Iterator[dict[str, Any]]:
    now = rt.clock.now()
    while start < end:
        window = Window(start, min(start + PIECE, end))
        folder = rt.storage.predictions(spec.name)
        with open_log(spec, folder, window.start, window.end, configured=rt.settings) as log:
            versions = np.unique(log.identities()[0]).tolist()
            labels = fetch_labels(spec, rt.settings, access, window.start, window.end, now) if versions else None
            for version in versions:
                found = log.read(version, window)
                yield {
                    "model_version": np.full(found.rows, version, dtype=np.int64),
                    "event_time": found.times.astype("datetime64[us]"),
                    "key": found.keys,
                    "prediction": found.values,
                    "probabilities": None if found.probabilities is None else list(found.probabilities),
                    "latency_ms": found.latencies,
                    "actual": labels.match(found.keys, found.times) if labels is not None else np.full(found.rows, np.nan),
                }
        start = window.end


def _schema(spec: ModelSpec, *, tabular: bool) -> pyarrow.Schema:
    """CSV has no lists, so a multiclass model's probabilities stand in Parquet only."""
    import pyarrow

    number = pyarrow.float64()
    fields = [("model_version", pyarrow.int64()), ("event_time", pyarrow.timestamp("us", "UTC")), ("key", pyarrow.string())]
    fields += [("prediction", number)]
    fields += [("probabilities", pyarrow.list_(number))] if spec.objective.classes and tabular else []
    return pyarrow.schema([*fields, ("latency_ms", number), ("actual", number)])
