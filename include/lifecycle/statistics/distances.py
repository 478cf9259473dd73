"""Distances between a reference and a window of numbers: exact normed Wasserstein and the Kolmogorov-Smirnov statistic. Pure.

Also the door to distances over cells (cell_distances.py). Definitions equal Evidently's, save that numbers are binned on the
reference alone and that `ks` is the statistic, no p-value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.statistics.cell_distances import (
    CELL_DISTANCES,
    QuantileBins,
    aligned_counts,
    category_distance,
    chi_square,
    cramers_v,
    jensen_shannon,
    kl_divergence,
    population_stability,
)

__all__ = [
    "CATEGORICAL_DISTANCES",
    "CELL_DISTANCES",
    "NumericReference",
    "QuantileBins",
    "aligned_counts",
    "category_distance",
    "chi_square",
    "cramers_v",
    "jensen_shannon",
    "kl_divergence",
    "kolmogorov_smirnov",
    "numeric_distance",
    "population_stability",
    "wasserstein_normed",
]

CATEGORICAL_DISTANCES = CELL_DISTANCES
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

SMALLEST_SCALE = 1e-3
"""Evidently's floor of the norm: a nearly constant reference does not blow the distance up."""


@dataclass(frozen=True, eq=False)
class NumericReference:
    """A sorted finite sample of a numeric column, prepared for exact distances to many windows.

    With F the sample's distribution function, S(x) = integral of F up to x is kept as prefix sums, so the distance to a window
    of m distinct values costs O(m log n), not a merge of both samples.
    """

    values: Floats
    scale: float

    @classmethod
    def of(cls, sample: Floats) -> NumericReference:
        """Sort `sample` (any order; not finite values are dropped); the scale is max(population std, 1e-3).

        Raise ValueError when no finite value is left.
        """
        finite = np.sort(np.asarray(sample, dtype=np.float64)[np.isfinite(sample)])
        if finite.size == 0:
            raise ValueError("a reference needs at least one finite value; got none")
        return cls(finite, max(float(finite.std()), SMALLEST_SCALE))

    @cached_property
    def origin(self) -> float:
        """The median, about: what integrals are centred on, for precision."""
        return float(self.values[self.values.size // 2])

    @cached_property
    def mean(self) -> float:
        """Mean of the sample."""
        return self.origin + float(self._centred.mean())

    def area(self, points: Floats) -> Floats:
        """Integral of the sample's distribution function up to each of `points`."""
        return self._area(np.asarray(points, dtype=np.float64) - self.origin)

    @cached_property
    def _centred(self) -> Floats:
        return self.values - self.origin

    @cached_property
    def _prefix(self) -> Floats:
        return np.concatenate(([0.0], np.cumsum(self._centred)))

    def _area(self, points: Floats) -> Floats:
        below = np.searchsorted(self._centred, points, side="right")
        area: Floats = (below * points - self._prefix[below]) / self._centred.size
        return area

    def on_grid(self, grid: Floats) -> Callable[[Counts], float]:
        """Return the normed distance as a function of counts on `grid` (strictly rising values): one setup, many windows."""
        points = np.asarray(grid, dtype=np.float64) - self.origin
        areas, reference_mean = self._area(points), float(self._centred.mean())
        left, right, size = points[:-1], points[1:], self._centred.size
        knot_areas = self._area(self._centred)

        def _distance(counts: Counts) -> float:
            share = np.cumsum(counts) / counts.sum()
            level = share[:-1]
            crossing = np.clip(np.ceil(level * size - 1e-9).astype(np.int64) - 1, 0, size - 1)
            middle = self._centred[crossing]
            inside = (middle > left) & (middle < right)
            beyond = middle >= right
            middle = np.where(inside, middle, np.where(beyond, right, left))
            middle_areas = np.where(inside, knot_areas[crossing], np.where(beyond, areas[1:], areas[:-1]))
            between = level * (2 * middle - left - right) + areas[:-1] + areas[1:] - 2 * middle_areas
            before_first = areas[0]
            after_last = reference_mean - points[-1] + areas[-1]
            return max(float(before_first + between.sum() + after_last), 0.0) / self.scale

        return _distance

    def ks_on_grid(self, grid: Floats) -> Callable[[Counts], float]:
        """Return the Kolmogorov-Smirnov statistic as a function of counts on `grid` (strictly rising values)."""
        below = np.searchsorted(self.values, grid, side="left") / self.values.size
        upto = np.searchsorted(self.values, grid, side="right") / self.values.size

        def _statistic(counts: Counts) -> float:
            level = np.cumsum(counts) / counts.sum()
            before = np.concatenate(([0.0], level[:-1]))
            return max(float(np.abs(upto - level).max()), float(np.abs(below - before).max()))

        return _statistic

    def ks(self, sample: Floats) -> float:
        """Two-sample Kolmogorov-Smirnov statistic: the largest distance between both distribution functions, 0 to 1.

        `scipy.stats.ks_2samp(...).statistic`. NaN when nothing finite is in `sample`.
        """
        finite = np.asarray(sample, dtype=np.float64)
        finite = finite[np.isfinite(finite)]
        if finite.size == 0:
            return float("nan")
        grid, counts = np.unique(finite, return_counts=True)
        return self.ks_on_grid(grid)(counts.astype(np.int64))

    def distance(self, sample: Floats) -> float:
        """Normed Wasserstein distance to `sample`: W1 / max(std(reference), 1e-3). NaN when nothing finite is in it."""
        finite = np.asarray(sample, dtype=np.float64)
        finite = finite[np.isfinite(finite)]
        if finite.size == 0:
            return float("nan")
        grid, counts = np.unique(finite, return_counts=True)
        return self.on_grid(grid)(counts.astype(np.int64))


def wasserstein_normed(reference: Floats, current: Floats) -> float:
    """W1(reference, current) / max(population std of reference, 1e-3), exact, in reference standard deviations.

    W1 is the area between both empirical distribution functions (Vallender 1974); the norm is Evidently's.
    """
    return NumericReference.of(reference).distance(current)


def kolmogorov_smirnov(reference: Floats, current: Floats) -> float:
    """The two-sample Kolmogorov-Smirnov statistic (see NumericReference.ks)."""
    return NumericReference.of(reference).ks(current)


def numeric_distance(method: str, reference: Floats, current: Floats) -> float:
    """Distance of two samples of numbers by a name of `monitoring.drift.numeric`; NaN when either has no finite value."""
    if not np.isfinite(reference).any() or not np.isfinite(current).any():
        return float("nan")
    if method == "wasserstein":
        return wasserstein_normed(reference, current)
    if method == "ks":
        return kolmogorov_smirnov(reference, current)
    return QuantileBins.of(reference).distance(current, method)
