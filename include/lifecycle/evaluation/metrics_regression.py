"""Metrics of a regression: labels y (n,) and predictions p (n,), both in the target's unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from include.lifecycle.evaluation.metrics_base import Metric, SumMetric, mean_of, ratio
from include.lifecycle.statistics.intervals import Codes, Floats

ERRORS = frozenset({"rmse", "mae", "median_absolute_error", "mape"})  # from 0 up, in the target's unit or as a fraction of it


@dataclass(frozen=True)
class MedianError(Metric):
    """Median of |p - y|: of the row weights' copies of each row, the mean of the middle two when their number is even."""

    def resample(self, y: Floats, p: Floats, codes: Codes, weights: Floats) -> Floats:
        """See Metric.resample; one pass over the rows, sorted once, per resample."""
        errors = np.abs(p - y)
        if not len(errors):
            return np.full(len(weights), np.nan)
        order = np.argsort(errors, kind="stable")
        ordered, block = errors[order], codes[order]
        return np.array([_weighted_median(ordered, row[block]) for row in weights])


def _weighted_median(ordered: Floats, weight: Floats) -> float:
    reached = np.cumsum(weight)
    half = reached[-1] / 2
    if half <= 0:
        return float("nan")
    lower, upper = np.searchsorted(reached, half, side="left"), np.searchsorted(reached, half, side="right")
    return float(ordered[lower] + ordered[upper]) / 2


def _fit(y: Floats, p: Floats) -> Floats:
    """Columns: squared error, centred label, its square, 1. Centring by a constant keeps sums of squares exact."""
    centred = y - (y.mean() if len(y) else 0.0)
    return np.column_stack([(p - y) ** 2, centred, centred**2, np.ones(len(y))])


def _r2(sums: Floats) -> Floats:
    """1 - residual over total sum of squares; NaN where all labels are equal."""
    total = sums[:, 2] - ratio(sums[:, 1] ** 2, sums[:, 3])
    return 1 - ratio(sums[:, 0], np.where(total > 1e-12 * sums[:, 2], total, 0.0))


def _relative(y: Floats, p: Floats) -> Floats:
    """Columns: |p - y| / |y|, 1, whether y is 0."""
    zero = y == 0
    share = np.divide(np.abs(p - y), np.abs(y), out=np.zeros(len(y)), where=~zero)
    return np.column_stack([share, np.ones(len(y)), zero.astype(np.float64)])


def _mape(sums: Floats) -> Floats:
    return np.where(sums[:, 2] > 0, np.nan, ratio(sums[:, 0], sums[:, 1]))


_SQUARED, _MEAN = mean_of(lambda y, p: (p - y) ** 2)
_FOUND: tuple[Metric, ...] = (
    SumMetric("rmse", False, _SQUARED, lambda sums: np.sqrt(_MEAN(sums))),
    SumMetric("mae", False, *mean_of(lambda y, p: np.abs(p - y))),
    SumMetric("r2", True, _fit, _r2),
    MedianError("median_absolute_error", False),
    # Mean absolute percentage error as a fraction; undefined where a label is 0.
    SumMetric("mape", False, _relative, _mape),
)
METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _FOUND})

# Watched beside the metrics; they have no better direction of their own.
MEAN_ERROR = SumMetric("mean_error", False, *mean_of(lambda y, p: p - y))
DESCRIPTIONS: Mapping[str, Metric] = MappingProxyType({"mean_error": MEAN_ERROR})
