"""Distances between a reference and a window: exact normed Wasserstein for numbers, Jensen-Shannon for categories, KL for both.

Pure functions on arrays and counts. Definitions equal Evidently's, save that KL bins numbers on the reference alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

SMALLEST_SCALE = 1e-3
"""Evidently's floor of the norm: a nearly constant reference does not blow the distance up."""

BINS = 20
SMALLEST_SHARE = 1e-4
"""Evidently's share of a cell that a side lacks, unless that side has cells as small as that."""


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


def kl_divergence(reference_counts: NDArray[np.number], current_counts: NDArray[np.number]) -> float:
    """Kullback-Leibler divergence of two vectors of counts over the same cells: sum of p ln(p / q), p the reference's shares.

    Evidently 0.7.23's `kl_div`: `scipy.stats.entropy(p, q)`, which normalises, after zeros were filled with 1e-4, or with a
    millionth of that side's smallest share where that share is 1e-4 or less. Not symmetric; 0 for equal shares, else above 0,
    and finite for disjoint cells. Cells that both sides lack do not count. NaN when a vector sums to 0.
    """
    reference, current = np.asarray(reference_counts, dtype=np.float64), np.asarray(current_counts, dtype=np.float64)
    if reference.sum() <= 0 or current.sum() <= 0:
        return float("nan")
    some = (reference > 0) | (current > 0)
    return max(_relative_entropy(_filled(reference[some]), _filled(current[some])), 0.0)


def _filled(counts: Floats) -> Floats:
    shares = counts / counts.sum()
    smallest = float(shares[shares > 0].min())
    shares[shares == 0] = SMALLEST_SHARE if smallest > SMALLEST_SHARE else smallest / 1e6
    filled: Floats = shares / shares.sum()
    return filled


@dataclass(frozen=True, eq=False)
class QuantileBins:
    """Cells between a numeric reference's quantiles, and how many of its values lie in each: what KL compares windows on.

    `edges` rise strictly; cell i holds edges[i - 1] < x <= edges[i]. The first and the last cell are open and hold what lies
    outside the reference's range, so one wild value, there or in a window, moves no other cell.
    """

    edges: Floats
    counts: Counts

    @classmethod
    def of(cls, sample: Floats) -> QuantileBins:
        """Cut at the 0, 5 ... 100 % quantiles of `sample` (values of it; equal ones once); not finite values are dropped.

        Raise ValueError when no finite value is left.
        """
        finite = np.asarray(sample, dtype=np.float64)
        finite = finite[np.isfinite(finite)]
        if finite.size == 0:
            raise ValueError("a reference needs at least one finite value; got none")
        cuts = np.quantile(finite, np.linspace(0, 1, BINS + 1), method="inverted_cdf")
        edges = np.unique([np.nextafter(cuts[0], -np.inf), *cuts])
        return cls(edges, np.bincount(np.searchsorted(edges, finite), minlength=edges.size + 1))

    def cells(self, values: Floats) -> Counts:
        """Each value's cell, -1 for what is not finite."""
        return np.where(np.isfinite(values), np.searchsorted(self.edges, values), -1)

    def distance(self, sample: Floats) -> float:
        """KL divergence to `sample` over the cells. NaN when nothing finite is in it."""
        cells = self.cells(np.asarray(sample, dtype=np.float64))
        return kl_divergence(self.counts, np.bincount(cells[cells >= 0], minlength=self.counts.size))


CATEGORICAL_DISTANCES = {"jensen_shannon": jensen_shannon, "kl_divergence": kl_divergence}
"""By what `monitoring.drift.categorical` may say."""


def category_distance(
    reference: Mapping[str, int],
    current: Mapping[str, int],
    method: Literal["jensen_shannon", "kl_divergence"] = "jensen_shannon",
) -> float:
    """Distance of two tables of category counts by `method`; a category that one side lacks counts as 0 there."""
    cells = sorted(reference.keys() | current.keys())
    left = np.array([reference.get(cell, 0) for cell in cells], dtype=np.float64)
    right = np.array([current.get(cell, 0) for cell in cells], dtype=np.float64)
    return CATEGORICAL_DISTANCES[method](left, right)


def _relative_entropy(left: Floats, right: Floats) -> float:
    some = left > 0
    return float(np.sum(left[some] * np.log(left[some] / right[some])))
