"""Stored window counts as distributions that add up across versions: a numeric column as point masses, a categorical one by name.

Versions cut a column at their own quantiles, so cells of two versions do not add up; each cell's rows at their mean do, to within
a cell's width (a hundredth of the column's rows).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.columns import counts_of, numbers
from include.lifecycle.monitoring.counting.counts import CategoryCounts, NumericCounts

Floats = NDArray[np.float64]
REST = "@rest"  # categories that a version did not know, together; no category can be told from it


@dataclass(frozen=True, eq=False)
class Masses:
    """`weights` (n,) > 0, rows at each of `values` (n,), rising."""

    values: Floats
    weights: Floats

    @classmethod
    def of(cls, values: Any) -> Masses:
        """The finite ones of these values."""
        found = numbers(values)
        grid, counts = np.unique(found[np.isfinite(found)], return_counts=True)
        return cls(grid, counts.astype(np.float64))

    @classmethod
    def counted(cls, parts: Iterable[NumericCounts]) -> Masses:
        """Each cell's rows at their mean, of several windows together."""
        held = [(part.sums[part.counts > 0], part.counts[part.counts > 0]) for part in parts]
        if not held:
            return cls(np.empty(0), np.empty(0))
        means = np.concatenate([sums / counts for sums, counts in held])
        grid, places = np.unique(means, return_inverse=True)
        rows = np.concatenate([counts for _, counts in held]).astype(np.float64)
        return cls(grid, np.bincount(places, weights=rows, minlength=grid.size).astype(np.float64))

    @property
    def rows(self) -> int:
        """Rows in all."""
        return round(float(self.weights.sum()))

    def distance(self, other: Masses) -> float:
        """Wasserstein distance W1, the area between both distribution functions (Vallender 1974); NaN when one is empty."""
        if not self.values.size or not other.values.size:
            return float("nan")
        points = np.union1d(self.values, other.values)
        return float(np.abs(self._share(points[:-1]) - other._share(points[:-1])) @ np.diff(points))

    def _share(self, points: Floats) -> Floats:
        below = np.concatenate(([0.0], np.cumsum(self.weights)))
        share: Floats = below[np.searchsorted(self.values, points, side="right")] / below[-1]
        return share


def named_counts(parts: Iterable[CategoryCounts]) -> dict[str, int]:
    """Rows by category, of several windows together; REST are those of categories that a version did not know."""
    total: dict[str, int] = {}
    for part in parts:
        for name, count in [*part.counts.items(), *([(REST, part.rest)] if part.rest else [])]:
            total[name] = total.get(name, 0) + count
    return total


def live_counts(values: Any, known: Mapping[str, int]) -> dict[str, int]:
    """Rows by category of one window; what `known` lacks is REST, as stored windows have it."""
    found: dict[str, int] = {}
    for name, count in counts_of(values).items():
        key = name if name in known else REST
        found[key] = found.get(key, 0) + count
    return found
