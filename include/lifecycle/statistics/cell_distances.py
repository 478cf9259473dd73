"""Distances of two vectors of counts over the same cells: Jensen-Shannon, Kullback-Leibler, PSI, chi-square. Pure.

Categories are cells by nature; numbers are counted between their reference's quantiles (QuantileBins). Formulas equal
Evidently's, zeros included; distances.py is the door to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Cells = NDArray[np.number]

BINS = 20
SMALLEST_SHARE = 1e-4
"""Evidently's share of a cell that a side lacks, unless that side has cells as small as that."""


def jensen_shannon(first: Cells, second: Cells) -> float:
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


def kl_divergence(reference_counts: Cells, current_counts: Cells) -> float:
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


def population_stability(reference_counts: Cells, current_counts: Cells) -> float:
    """Population stability index of two vectors of counts over the same cells: sum of (q - p) ln(q / p), q the current shares.

    KL in both directions at once: symmetric, at least 0 (Siddiqi 2006; above 0.1 some, above 0.25 much change). Zeros are
    filled as in `kl_divergence`, so it is finite. Evidently's `psi` of the
    same cells. Cells that both sides lack do not count. NaN when a vector sums to 0.
    """
    reference, current = np.asarray(reference_counts, dtype=np.float64), np.asarray(current_counts, dtype=np.float64)
    if reference.sum() <= 0 or current.sum() <= 0:
        return float("nan")
    some = (reference > 0) | (current > 0)
    left, right = _raised(reference[some]), _raised(current[some])
    return max(float(np.sum((right - left) * np.log(right / left))), 0.0)


def chi_square(reference_counts: Cells, current_counts: Cells) -> tuple[float, int]:
    """Pearson's statistic for "both vectors of counts come from the same shares", and its degrees of freedom.

    `scipy.stats.chi2_contingency` without continuity correction. It grows with the rows: `cramers_v` is the effect.
    NaN when a vector sums to 0.
    """
    table = np.array([reference_counts, current_counts], dtype=np.float64)
    table = table[:, table.sum(axis=0) > 0]
    totals = table.sum(axis=1, keepdims=True)
    if (totals <= 0).any():
        return float("nan"), 0
    expected = totals * table.sum(axis=0) / totals.sum()
    return float(((table - expected) ** 2 / expected).sum()), table.shape[1] - 1


def cramers_v(reference_counts: Cells, current_counts: Cells) -> float:
    """Effect of the chi-square test between 0 (equal shares) and 1 (no cell in common): Cramer's V (1946) of two samples of the
    same size with these shares, sqrt(sum of (p - q)^2 / (p + q) / 2). Weighting both sides alike keeps a small window's V
    comparable with a large one's. NaN when a vector sums to 0.
    """
    left, right = np.asarray(reference_counts, dtype=np.float64), np.asarray(current_counts, dtype=np.float64)
    if left.sum() <= 0 or right.sum() <= 0:
        return float("nan")
    left, right = left / left.sum(), right / right.sum()
    some = (left > 0) | (right > 0)
    return float(np.sqrt(np.sum((left[some] - right[some]) ** 2 / (left[some] + right[some])) / 2))


def _filled(counts: Floats) -> Floats:
    shares = _raised(counts)
    filled: Floats = shares / shares.sum()
    return filled


def _raised(counts: Floats) -> Floats:
    shares: Floats = counts / counts.sum()
    smallest = float(shares[shares > 0].min())
    shares[shares == 0] = SMALLEST_SHARE if smallest > SMALLEST_SHARE else smallest / 1e6
    return shares


@dataclass(frozen=True, eq=False)
class QuantileBins:
    """Cells between a numeric reference's quantiles, and how many of its values lie in each: what Jensen-Shannon, KL and
    PSI compare windows on.

    `edges` rise strictly; cell i holds edges[i - 1] < x <= edges[i]. The first and the last cell are open and hold what lies
    outside the reference's range, so one wild value, there or in a window, moves no other cell.
    """

    edges: Floats
    counts: Counts

    @classmethod
    def of(cls, sample: Floats) -> QuantileBins:
        """Cut at the 0, 5 ... 100 % quantiles of `sample` (values of it; equal ones once), at each value when there are 20 or
        fewer; not finite values are dropped.

        Raise ValueError when no finite value is left.
        """
        finite = np.asarray(sample, dtype=np.float64)
        finite = finite[np.isfinite(finite)]
        if finite.size == 0:
            raise ValueError("a reference needs at least one finite value; got none")
        values = np.unique(finite)
        few = values.size <= BINS
        cuts = values if few else np.quantile(finite, np.linspace(0, 1, BINS + 1), method="inverted_cdf")
        edges = np.unique([np.nextafter(cuts[0], -np.inf), *cuts])
        return cls(edges, np.bincount(np.searchsorted(edges, finite), minlength=edges.size + 1))

    def cells(self, values: Floats) -> Counts:
        """Each value's cell, -1 for what is not finite."""
        return np.where(np.isfinite(values), np.searchsorted(self.edges, values), -1)

    def distance(self, sample: Floats, method: str = "kl_divergence") -> float:
        """Distance to `sample` over the cells by a method of CELL_DISTANCES. NaN when nothing finite is in it."""
        cells = self.cells(np.asarray(sample, dtype=np.float64))
        return CELL_DISTANCES[method](self.counts, np.bincount(cells[cells >= 0], minlength=self.counts.size))


CELL_DISTANCES: dict[str, Callable[[Cells, Cells], float]] = {
    "jensen_shannon": jensen_shannon,
    "kl_divergence": kl_divergence,
    "psi": population_stability,
    "chi_square": cramers_v,
}
"""Reference's counts, window's counts -> distance, by the names of `monitoring.drift`."""


def category_distance(reference: Mapping[str, int], current: Mapping[str, int], method: str = "jensen_shannon") -> float:
    """Distance of two tables of category counts by `method`; a category that one side lacks counts as 0 there."""
    return CELL_DISTANCES[method](*aligned_counts(reference, current))


def aligned_counts(reference: Mapping[str, int], current: Mapping[str, int]) -> tuple[Floats, Floats]:
    """Two tables of category counts as vectors over the same cells."""
    cells = sorted(reference.keys() | current.keys())
    left = np.array([reference.get(cell, 0) for cell in cells], dtype=np.float64)
    right = np.array([current.get(cell, 0) for cell in cells], dtype=np.float64)
    return left, right


def _relative_entropy(left: Floats, right: Floats) -> float:
    some = left > 0
    return float(np.sum(left[some] * np.log(left[some] / right[some])))
