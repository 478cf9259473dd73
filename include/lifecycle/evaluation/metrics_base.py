"""What a metric is: value, direction, and its values under resampled blocks, without copying a row.

Most are functions of sums over rows, so a resample is one small matrix product; ranking metrics and medians walk the sorted rows
once per resample. The metrics themselves stand in metrics_binary.py, metrics_regression.py and metrics_multiclass.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.statistics.intervals import Codes, Floats, block_sums

TINY = float(np.finfo(np.float64).eps)  # probabilities are kept this far from 0 and 1 in logarithms

Parts = Callable[[Floats, Floats], Floats]  # (y, p) -> per-row parts (n, k)
Combine = Callable[[Floats], Floats]  # sums (r, k) -> values (r,)


@dataclass(frozen=True)
class Metric:
    """One metric: `score` of labels y (n,) and predictions p, and which direction is better.

    Binary: y in {0, 1}, p (n,) = P(1). Regression: both (n,) values. Multiclass: y class numbers, p (n, k) probabilities.
    """

    name: str
    greater_is_better: bool

    def score(self, y: Floats, p: Floats) -> float:
        """The metric's value; NaN where it is undefined (one class only, no positive prediction, no row)."""
        return float(self.resample(y, p, np.zeros(len(y), dtype=np.intp), np.ones((1, 1)))[0])

    def resample(self, y: Floats, p: Floats, codes: Codes, weights: Floats) -> Floats:
        """Values (r,) for block weights (r, blocks), where row i belongs to block codes[i]."""
        raise NotImplementedError

    def gain(self, new: Floats, old: Floats) -> Floats:
        """How much better `new` is than `old`: positive is better whatever the metric's direction."""
        return np.asarray(new - old if self.greater_is_better else old - new)


@dataclass(frozen=True)
class SumMetric(Metric):
    """A metric that is a function of sums over rows."""

    parts: Parts
    combine: Combine

    def resample(self, y: Floats, p: Floats, codes: Codes, weights: Floats) -> Floats:
        """See Metric.resample; exact, cost independent of the number of rows per resample."""
        return self.combine(weights @ block_sums(self.parts(y, p), codes, weights.shape[1]))


@dataclass(frozen=True)
class RankMetric(Metric):
    """A metric of the ranking: computed from cumulated true and false positives at each distinct score, highest first."""

    curve: Callable[[Floats, Floats], float]

    def resample(self, y: Floats, p: Floats, codes: Codes, weights: Floats) -> Floats:
        """See Metric.resample; one pass over the rows, sorted once, per resample."""
        if len(y) == 0:
            return np.full(len(weights), np.nan)
        order = np.argsort(-p, kind="stable")
        positive, block, ends = y[order], codes[order], _group_ends(p[order])
        return np.array([self._value(row[block], positive, ends) for row in weights])

    def _value(self, weight: Floats, positive: Floats, ends: NDArray[np.intp]) -> float:
        true = np.cumsum(weight * positive)[ends]
        false = np.cumsum(weight)[ends] - true
        return self.curve(true, false) if true[-1] > 0 and false[-1] > 0 else float("nan")


def _group_ends(descending: Floats) -> NDArray[np.intp]:
    return np.append(np.flatnonzero(np.diff(descending)), len(descending) - 1)


def roc_area(true: Floats, false: Floats) -> float:
    """Area under the ROC curve by trapezoids, ties shared (Hanley & McNeil 1982, Radiology 143:29-36)."""
    rises = np.diff(false, prepend=0.0)
    heights = true - np.diff(true, prepend=0.0) / 2
    return float(rises @ heights / (true[-1] * false[-1]))


def average_precision(true: Floats, false: Floats) -> float:
    """Precision at each distinct score, weighted by the recall gained there (no interpolation, as scikit-learn defines it)."""
    found = true + false
    precision = np.divide(true, found, out=np.zeros_like(true), where=found > 0)
    return float(np.diff(true, prepend=0.0) @ precision / true[-1])


def ratio(above: Floats, below: Floats) -> Floats:
    """above / below elementwise, NaN where nothing lies below the line."""
    undefined = np.full(above.shape, np.nan)
    result: Floats = np.divide(above, below, out=undefined, where=below > 0)
    return result


def mean_of(value: Callable[[Floats, Floats], Floats]) -> tuple[Parts, Combine]:
    """Parts and combination of the mean of a per-row value (y, p) -> (n,)."""

    def parts(y: Floats, p: Floats) -> Floats:
        return np.column_stack([value(y, p), np.ones(len(y))])

    return parts, lambda sums: ratio(sums[:, 0], sums[:, 1])
