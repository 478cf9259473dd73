"""Counts a range of the prediction log inside DuckDB's table: column by column, categories by SQL, no row is an object."""

from __future__ import annotations

import numpy as np

from include.lifecycle.monitoring.counting.arrays import count_categories, count_numbers, named_classes
from include.lifecycle.monitoring.counting.counts import CategoryCounts, WindowCounts
from include.lifecycle.monitoring.counting.scheme import Scheme
from include.lifecycle.monitoring.predictions import PredictionLog
from include.lifecycle.monitoring.profile import PREDICTION
from include.serving.log_schema import feature_column


def count_log(log: PredictionLog, scheme: Scheme, version: int) -> WindowCounts:
    """Counts of all rows that `version` answered in the log's range; a feature that the log lacks is all null."""
    rows, held = log.rows_of(version), set(log.spec.features.all)
    numeric = {}
    for name, edges in scheme.edges.items():
        known = name == PREDICTION or name in held
        values = log.numbers_of(version, _column(name)) if known else np.full(rows, np.nan)
        numeric[name] = count_numbers(edges, values)
    categorical = {}
    for name, categories in scheme.categories.items():
        if name == PREDICTION:
            predicted = named_classes(log.numbers_of(version, _column(name)), log.spec.objective.classes)
            categorical[name] = count_categories(categories, predicted)
        else:
            found = log.categories_of(version, _column(name)) if name in held else dict[str | None, int]({None: rows})
            categorical[name] = _counted(categories, found)
    return WindowCounts(rows, numeric, categorical)


def _column(name: str) -> str:
    return "prediction" if name == PREDICTION else feature_column(name)


def _counted(known: tuple[str, ...], found: dict[str | None, int]) -> CategoryCounts:
    nulls, names = found.pop(None, 0), set(known)
    counts = {name: found[name] for name in sorted(name for name in found if name in names) if name is not None}
    return CategoryCounts(counts, sum(found.values()) - sum(counts.values()), nulls)
