"""Distances between a reference and a window: exact normed Wasserstein for numbers, Jensen-Shannon for categories.

Pure functions on arrays and counts. Definitions equal Evidently's, so that its report shows the numbers that were judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

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
    def _origin(self) -> float:
        return float(self.values[self.values.size // 2])

    @cached_property
    def _centred(self) -> Floats:
        return self.values - self._origin

    @cached_property
    def _prefix(self) -> Floats:
        return np.concatenate(([0.0], np.cumsum(self._centred)))

    def _area(self, points: Floats) -> Floats:
        below = np.searchsorted(self._centred, points, side="right")
        area: Floats = (below * points - self._prefix[below]) / self._centred.size
        return area

    def on_grid(self, grid: Floats) -> Callable[[Counts], float]:
        """Return the normed distance as a function of counts on `grid` (strictly rising values): one setup, many windows."""
        points = np.asarray(grid, dtype=np.float64) - self._origin
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


def jensen_shannon(first: NDArray[np.number], second: NDArray[np.number]) -> float:
    """Jensen-Shannon distance of two vectors of counts or shares over the same cells: root of the divergence, natural log.

    Between 0 and sqrt(ln 2) = 0.8326 (Endres and Schindelin 2003); equals `scipy.spatial.distance.jensenshannon`.
    NaN when a vector sums to 0.
    """
    left, right = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if left.sum() <= 0 or right.sum() <= 0:
        return float("nan")
    left, right = left / left.sum(), right / right.sum()
    middle = (left + right) / 2
    divergence = (_relative_entropy(left, middle) + _relative_entropy(right, middle)) / 2
    return float(np.sqrt(max(divergence, 0.0)))


def category_distance(reference: Mapping[str, int], current: Mapping[str, int]) -> float:
    """Jensen-Shannon distance of two tables of category counts; a category that one side lacks counts as 0 there."""
    cells = sorted(reference.keys() | current.keys())
    left = np.array([reference.get(cell, 0) for cell in cells], dtype=np.float64)
    right = np.array([current.get(cell, 0) for cell in cells], dtype=np.float64)
    return jensen_shannon(left, right)


def _relative_entropy(left: Floats, right: Floats) -> float:
    some = left > 0
    return float(np.sum(left[some] * np.log(left[some] / right[some])))
