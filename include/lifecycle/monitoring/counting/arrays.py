"""Counts a window that is in memory already: the same cells as engine.py finds by SQL."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from include.lifecycle.monitoring.columns import counts_of, numbers
from include.lifecycle.monitoring.counting.counts import CategoryCounts, Floats, NumericCounts, WindowCounts
from include.lifecycle.monitoring.counting.scheme import Scheme
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.profile import PREDICTION


def count_window(scheme: Scheme, window: Predictions, classes: list[str]) -> WindowCounts:
    """Counts of one window. `classes`: names of a multiclass model's classes, which its predictions are numbers of.

    A column that the window lacks is all null.
    """
    nothing = WindowCounts.nothing(scheme)
    numeric, categorical = dict(nothing.numeric), dict(nothing.categorical)
    for name, edges in scheme.edges.items():
        values = window.values if name == PREDICTION else window.features.get(name)
        numeric[name] = count_numbers(edges, np.full(window.rows, np.nan) if values is None else numbers(values))
    for name, known in scheme.categories.items():
        texts = named_classes(window.values, classes) if name == PREDICTION else window.features.get(name, [None] * window.rows)
        categorical[name] = count_categories(known, texts)
    return WindowCounts(window.rows, numeric, categorical)


def count_numbers(edges: Floats, values: Floats) -> NumericCounts:
    """Counts and sums of values (n,) over the cells of `edges`.

    Sorting the values and looking for the edges among them costs a tenth of looking for each value among the edges.
    """
    ordered = np.sort(values)  # what is no number last
    first, last = np.searchsorted(ordered, -np.inf, side="right"), np.searchsorted(ordered, np.inf)
    finite = ordered[first:last]
    starts = np.concatenate(([0], np.searchsorted(finite, edges, side="right")))
    counts = np.diff(starts, append=finite.size).astype(np.int64)
    sums, held = np.zeros(counts.size), counts > 0
    if finite.size:
        sums[held] = np.add.reduceat(finite, starts[held])
    return NumericCounts(edges, counts, sums, int(values.size - finite.size))


def count_categories(known: tuple[str, ...], texts: Iterable[str | None]) -> CategoryCounts:
    """Counts of texts, those that are not `known` in one."""
    whole = list(texts)
    found, names = counts_of(whole), set(known)
    counts = {name: found[name] for name in sorted(found) if name in names}
    held = sum(found.values())
    return CategoryCounts(counts, held - sum(counts.values()), len(whole) - held)


def named_classes(values: Floats, classes: list[str]) -> list[str | None]:
    """Names of predicted classes; None for what is no number of a class."""
    return [classes[int(value)] if np.isfinite(value) and 0 <= value < len(classes) else None for value in values]
