"""Distances of counted windows from a version's reference: count mode. Exact mode measures the rows themselves (drift.py).

Over a cell in which the window's distribution function G does not cross the reference's F, the area between them is the
difference of their integrals, which counts and sums give exactly; so only cells with a crossing lose something. Beyond the
reference's range nothing crosses: open ends are exact, however far out a value lies.
"""

from __future__ import annotations

import numpy as np

from include.lifecycle.monitoring.counting.counts import CategoryCounts, Floats, NumericCounts
from include.lifecycle.monitoring.counting.scheme import known_categories
from include.lifecycle.monitoring.profile import CategoricalProfile, NumericProfile
from include.lifecycle.statistics.distances import CELL_DISTANCES, NumericReference, aligned_counts

REST = "@rest"
"""Name of all categories together that the reference does not know."""


def numeric_distance(stored: NumericProfile, reference: NumericReference, counted: NumericCounts) -> float:
    """Distance by the column's own method; NaN when the window has no finite value."""
    if not counted.held:
        return float("nan")
    if stored.method == "wasserstein":
        return wasserstein_of_counts(reference, counted)
    if stored.method == "ks":
        return ks_of_counts(reference, counted)
    cells = counted.onto(np.array(stored.edges))
    return CELL_DISTANCES[stored.method](np.array(stored.bin_counts), cells.counts)


def wasserstein_of_counts(reference: NumericReference, counted: NumericCounts) -> float:
    """Normed Wasserstein distance, never above the exact one; with CELLS cells less than 0.001 below it."""
    edges, size = counted.edges - reference.origin, counted.held
    sums = counted.sums - reference.origin * counted.counts
    level = np.cumsum(counted.counts)[:-1] / size  # G at each edge
    areas = reference.area(counted.edges)  # integral of F up to each edge
    inner = level[:-1] * np.diff(edges) + (counted.counts[1:-1] * edges[1:] - sums[1:-1]) / size
    first = abs((counted.counts[0] * edges[0] - sums[0]) / size - areas[0])
    beyond_reference = reference.mean - reference.origin - edges[-1] + areas[-1]
    last = abs((sums[-1] - counted.counts[-1] * edges[-1]) / size - beyond_reference)
    return float(first + np.abs(np.diff(areas) - inner).sum() + last) / reference.scale


def ks_of_counts(reference: NumericReference, counted: NumericCounts) -> float:
    """Kolmogorov-Smirnov statistic at the edges: never above the exact one, below it by one cell's share (< 0.001) at most."""
    expected = np.searchsorted(reference.values, counted.edges, side="right") / reference.values.size
    return float(np.abs(np.cumsum(counted.counts)[:-1] / counted.held - expected).max())


def cells_of(stored: CategoricalProfile, counted: CategoryCounts) -> tuple[Floats, Floats]:
    """Reference's and window's counts over the same cells: categories counted by name, and REST."""
    named = {name: stored.counts[name] for name in known_categories(stored.counts)}
    reference = named | {REST: sum(stored.counts.values()) - sum(named.values())}
    return aligned_counts(reference, counted.counts | {REST: counted.rest})
