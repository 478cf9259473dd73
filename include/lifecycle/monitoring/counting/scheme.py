"""What is counted of one version's windows: cells between its reference's quantiles, and the categories that it knows.

Derived from the profile alone, so that shards, windows and revisions of a version always have the same cells and merge exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.profile import PREDICTION, CategoricalProfile, NumericProfile, Profile

Floats = NDArray[np.float64]

CELLS = 2048
"""Cells of a numeric column, about: those of equal share, plus one for every outermost value and for every frequent value."""
STORED_CELLS = 128
"""Cells of a numeric column that a stored window keeps."""
CATEGORIES = 5000
"""Categories counted by name: the reference's most frequent. Everything else is `rest`."""
_OUTERMOST = 24


@dataclass(frozen=True, eq=False)
class Scheme:
    """`edges` per numeric column (rising): cell i holds edges[i - 1] < x <= edges[i], the first and the last are open.
    `categories` per categorical column. PREDICTION is among either."""

    edges: dict[str, Floats]
    categories: dict[str, tuple[str, ...]]

    @property
    def columns(self) -> list[str]:
        """All that is counted, numeric columns first."""
        return [*self.edges, *self.categories]


def scheme_of(profile: Profile, cells: int = CELLS) -> Scheme:
    """The cells of a version. A scheme of fewer cells has a part of the edges of one with more, if that has CELLS."""
    numeric: dict[str, NumericProfile] = dict(profile.numeric)
    categorical: dict[str, CategoricalProfile] = dict(profile.categorical)
    if isinstance(profile.prediction, NumericProfile):
        numeric[PREDICTION] = profile.prediction
    else:
        categorical[PREDICTION] = profile.prediction
    edges = {
        name: _edges(profile.samples[name], np.array(stored.edges), cells)
        for name, stored in numeric.items()
        if name in profile.samples
    }
    return Scheme(edges, {name: known_categories(stored.counts) for name, stored in categorical.items()})


def _edges(ordered: Floats, own: Floats, cells: int) -> Floats:
    """`own`: the cells that the column's own method compares; they are always among the edges."""
    fine = quantile_edges(ordered)
    if cells < CELLS and fine.size >= cells:
        fine = fine[np.unique(np.linspace(0, fine.size - 1, cells - 1).round().astype(np.int64))]
    return np.union1d(fine, own) if own.size else fine


def quantile_edges(ordered: Floats, cells: int = CELLS) -> Floats:
    """Edges at evenly spaced order statistics of a sorted sample and at its outermost values, strictly rising; a quarter of the
    cells divides the widest gaps between them, where few or extreme values lie.

    A value that fills a cell has one of its own, since a distribution function may jump there (few values all have one); so has
    all below the smallest.
    """
    outermost = np.arange(min(_OUTERMOST, ordered.size))
    most = cells - cells // 4 - 2 * _OUTERMOST
    spaced = np.linspace(0, ordered.size - 1, min(most, ordered.size)).round().astype(np.int64)
    ranks = np.unique(np.concatenate((outermost, spaced, ordered.size - 1 - outermost)))
    values, times = np.unique(ordered[ranks], return_counts=True)
    alone = values if 2 * values.size <= cells else values[(times > 1) | (values == values[0])]
    return np.union1d(_divided(values, max(cells - values.size - alone.size, 0)), np.nextafter(alone, -np.inf))


def _divided(values: Floats, more: int) -> Floats:
    """Rising values with up to `more` between them: each gap in equal parts, by the root of its width."""
    if values.size < 2 or not more:
        return values
    gaps = np.diff(values)
    weights = np.sqrt(gaps)
    parts = 1 + np.floor(more * weights / weights.sum()).astype(np.int64)
    start, step = np.repeat(values[:-1], parts), np.repeat(gaps / parts, parts)
    place = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    return np.union1d(start + place * step, values)


def known_categories(counts: dict[str, int]) -> tuple[str, ...]:
    """The CATEGORIES most frequent ones of a reference, in order of name."""
    most = sorted(counts, key=lambda name: (-counts[name], name))[:CATEGORIES]
    return tuple(sorted(most))
