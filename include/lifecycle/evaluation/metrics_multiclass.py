"""Metrics of a multiclass classifier: labels y (n,) as class numbers 0 to k - 1 and probabilities p (n, k) in that order.

The class that is predicted is the most probable one, the first of equally probable ones. Macro means are taken over the classes
that occur among labels or predictions, as scikit-learn does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from include.lifecycle.evaluation.metrics_base import TINY, Metric, RankMetric, SumMetric, mean_of, ratio, roc_area
from include.lifecycle.statistics.intervals import Codes, Floats


def predicted_classes(p: Floats) -> Floats:
    """Number of the most probable class (n,) of probabilities (n, k)."""
    return np.asarray(p.argmax(axis=1), dtype=np.float64)


def one_hot(y: Floats, classes: int) -> Floats:
    """Class numbers (n,) as indicators (n, classes)."""
    return np.asarray(np.eye(classes)[y.astype(np.intp)])


def _confusion(y: Floats, p: Floats) -> Floats:
    """Per class: true positives, false positives, false negatives, side by side (n, 3 k)."""
    said, true = one_hot(predicted_classes(p), p.shape[1]), one_hot(y, p.shape[1])
    return np.column_stack([said * true, said * (1 - true), (1 - said) * true])


def _per_class(sums: Floats) -> tuple[Floats, Floats, Floats]:
    hits, false, missed = np.split(sums, 3, axis=1)
    return hits, false, missed


def _macro(score: Callable[[Floats, Floats, Floats], Floats]) -> Callable[[Floats], Floats]:
    def _combine(sums: Floats) -> Floats:
        hits, false, missed = _per_class(sums)
        occurs = (hits + false + missed) > 0
        values = np.nan_to_num(score(hits, false, missed), nan=0.0)
        return ratio((values * occurs).sum(axis=1), occurs.sum(axis=1).astype(np.float64))

    return _combine


def _weighted(score: Callable[[Floats, Floats, Floats], Floats]) -> Callable[[Floats], Floats]:
    def _combine(sums: Floats) -> Floats:
        hits, false, missed = _per_class(sums)
        support = hits + missed
        values = np.nan_to_num(score(hits, false, missed), nan=0.0)
        return ratio((values * support).sum(axis=1), support.sum(axis=1))

    return _combine


def _f1(hits: Floats, false: Floats, missed: Floats) -> Floats:
    return ratio(2 * hits, 2 * hits + false + missed)


def _precision(hits: Floats, false: Floats, missed: Floats) -> Floats:
    return ratio(hits, hits + false)


def _recall(hits: Floats, false: Floats, missed: Floats) -> Floats:
    return ratio(hits, hits + missed)


def _log_loss(y: Floats, p: Floats) -> Floats:
    rows = np.arange(len(y))
    return np.asarray(-np.log(np.clip(p[rows, y.astype(np.intp)], TINY, 1.0)))


def _brier(y: Floats, p: Floats) -> Floats:
    return np.asarray(((p - one_hot(y, p.shape[1])) ** 2).sum(axis=1))


@dataclass(frozen=True)
class AreaOneVersusRest(Metric):
    """Mean over classes of the area under the ROC curve of that class against all others; NaN unless every class occurs."""

    def resample(self, y: Floats, p: Floats, codes: Codes, weights: Floats) -> Floats:
        """See Metric.resample; one pass over the sorted rows per class and resample."""
        area = RankMetric("roc_auc", True, roc_area)
        each = [area.resample((y == index).astype(np.float64), p[:, index], codes, weights) for index in range(p.shape[1])]
        return np.asarray(np.mean(each, axis=0))


_FOUND: tuple[Metric, ...] = (
    SumMetric("log_loss", False, *mean_of(_log_loss)),
    # Sum over classes of squared errors (Brier 1950, Monthly Weather Review 78:1-3, the original form).
    SumMetric("brier_score", False, *mean_of(_brier)),
    SumMetric("accuracy", True, *mean_of(lambda y, p: (predicted_classes(p) == y).astype(np.float64))),
    SumMetric("f1_macro", True, _confusion, _macro(_f1)),
    SumMetric("f1_weighted", True, _confusion, _weighted(_f1)),
    SumMetric("precision_macro", True, _confusion, _macro(_precision)),
    SumMetric("precision_weighted", True, _confusion, _weighted(_precision)),
    SumMetric("recall_macro", True, _confusion, _macro(_recall)),
    # Macro mean of one-versus-rest areas (Provost & Domingos 2000, without weighting by prevalence).
    AreaOneVersusRest("roc_auc_ovr", True),
)
METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _FOUND})


def _largest_gap(sums: Floats) -> Floats:
    return np.asarray(np.abs(ratio(sums[:, :-1], sums[:, -1:])).max(axis=1))


def _surplus(y: Floats, p: Floats) -> Floats:
    """Per class: probability minus label; last column: rows."""
    return np.column_stack([p - one_hot(y, p.shape[1]), np.ones(len(y))])


# Watched beside the metrics: the largest difference between a class's mean probability and its share among the labels.
CALIBRATION_GAP = SumMetric("calibration_gap", False, _surplus, _largest_gap)
DESCRIPTIONS: Mapping[str, Metric] = MappingProxyType({"calibration_gap": CALIBRATION_GAP})
