"""How far stretches of the hold-out lie from training by themselves: the nulls of slow creep."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.columns import categories, counts_of, numbers
from include.lifecycle.monitoring.inputs.budget import level_of
from include.lifecycle.monitoring.inputs.material import Material
from include.lifecycle.monitoring.inputs.season import WEEK
from include.lifecycle.monitoring.nulls import Null, null_of
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.distances import NumericReference, category_distance
from include.lifecycle.statistics.null import draw_windows

DRAWS = 100
FITTING = 3
"""So many stretches fit into the hold-out, however short that makes them: shorter ones vary more, which errs to the safe side."""
ROWS = 10_000
CELLS = 1000
"""Cells of a numeric column whose rows count at their mean: a hundred distances in the time of one."""


def creep_nulls(spec: ModelSpec, material: Material) -> dict[str, Null]:
    """The nulls of watched columns: stretches of `creep.weeks`, or of a third of the hold-out, against training."""
    span = timedelta(seconds=max(float(np.ptp(material.times)) / FITTING, spec.monitoring.window.total_seconds()))
    length = min(spec.monitoring.creep.weeks * WEEK, span)
    drawn = draw_windows(material.times, length, rows=ROWS, draws=DRAWS, seed=material.seed)
    level, found = level_of(spec, "creep"), {}
    for name in spec.watched:
        distance = _numeric(name, material) if name in spec.features.numeric else _categorical(name, material)
        if distance and (null := null_of(np.array([distance(rows) for rows in drawn.rows]), drawn, 0, level)):
            found[name] = null
    return found


def _numeric(name: str, material: Material) -> Callable[[NDArray[np.int64]], float] | None:
    train, held = numbers(material.train[name]), numbers(material.holdout[name])
    finite = held[np.isfinite(held)]
    if not np.isfinite(train).any() or not finite.size:
        return None
    cuts = np.unique(np.quantile(finite, np.linspace(0, 1, CELLS + 1)[1:-1]))
    cells = np.where(np.isfinite(held), np.searchsorted(cuts, held), -1)
    counts = np.bincount(cells[cells >= 0], minlength=cuts.size + 1)
    means = np.bincount(cells[cells >= 0], weights=finite, minlength=cuts.size + 1)[counts > 0] / counts[counts > 0]
    distance = NumericReference.of(train).on_grid(means)

    def _of(rows: NDArray[np.int64]) -> float:
        seen = np.bincount(cells[rows][cells[rows] >= 0], minlength=cuts.size + 1)[counts > 0]
        return distance(seen) if seen.any() else float("nan")

    return _of


def _categorical(name: str, material: Material) -> Callable[[NDArray[np.int64]], float]:
    known, held = counts_of(categories(material.train[name])), categories(material.holdout[name])
    return lambda rows: category_distance(known, counts_of(held[rows]))
