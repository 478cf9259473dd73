"""Metrics of a binary classifier: value, direction, and their values under resampled blocks, without copying a row.

All but the ranking metrics are functions of sums over rows, so a resample is one small matrix product; ranking metrics walk the
sorted scores once per resample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import Codes, Floats, block_sums

CALIBRATION_BINS = 10
OF_ACTING = frozenset({"accuracy", "precision", "recall", "f1"})  # their value changes with the threshold
_TINY = float(np.finfo(np.float64).eps)

Parts = Callable[[Floats, Floats], Floats]  # (y, p) -> per-row parts (n, k)
Combine = Callable[[Floats], Floats]  # sums (r, k) -> values (r,)


@dataclass(frozen=True)
class Metric:
    """One metric: `score` of labels y (n,) in {0, 1} and probabilities p (n,), and which direction is better."""

    name: str
    greater_is_better: bool

    def score(self, y: Floats, p: Floats) -> float:
        """The metric's value; NaN where it is undefined (one class only, no positive prediction)."""
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


def _area(true: Floats, false: Floats) -> float:
    """Area under the ROC curve by trapezoids, ties shared (Hanley & McNeil 1982, Radiology 143:29-36)."""
    rises = np.diff(false, prepend=0.0)
    heights = true - np.diff(true, prepend=0.0) / 2
    return float(rises @ heights / (true[-1] * false[-1]))


def _average_precision(true: Floats, false: Floats) -> float:
    """Precision at each distinct score, weighted by the recall gained there (no interpolation, as scikit-learn defines it)."""
    found = true + false
    precision = np.divide(true, found, out=np.zeros_like(true), where=found > 0)
    return float(np.diff(true, prepend=0.0) @ precision / true[-1])


def _ratio(above: Floats, below: Floats) -> Floats:
    undefined = np.full(above.shape, np.nan)
    result: Floats = np.divide(above, below, out=undefined, where=below > 0)
    return result


def _mean_of(value: Callable[[Floats, Floats], Floats]) -> tuple[Parts, Combine]:
    def parts(y: Floats, p: Floats) -> Floats:
        return np.column_stack([value(y, p), np.ones(len(y))])

    return parts, lambda sums: _ratio(sums[:, 0], sums[:, 1])


def acted_upon(p: Floats, threshold: float) -> NDArray[np.bool_]:
    """Which of the probabilities p (n,) are acted upon: those from `objective.threshold` on, itself included."""
    return np.asarray(p >= threshold)


def _confusion(threshold: float, y: Floats, p: Floats) -> Floats:
    """Columns: true positives, false positives, false negatives."""
    act = acted_upon(p, threshold).astype(np.float64)
    return np.column_stack([act * y, act * (1 - y), (1 - act) * y])


def _log_loss(y: Floats, p: Floats) -> Floats:
    safe = np.clip(p, _TINY, 1 - _TINY)
    return -np.where(y > 0, np.log(safe), np.log1p(-safe))


def _binned(y: Floats, p: Floats) -> Floats:
    """Per calibration bin of equal width: surplus of prediction over label; last column: rows."""
    which = np.minimum((p * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1)
    parts = np.zeros((len(y), CALIBRATION_BINS + 1))
    parts[np.arange(len(y)), which] = p - y
    parts[:, -1] = 1
    return parts


# Watched beside the metrics; they have no better direction of their own.
CALIBRATION_GAP = SumMetric("calibration_gap", False, *_mean_of(lambda y, p: p - y))
POSITIVE_RATE = SumMetric("positive_rate", True, *_mean_of(lambda y, p: y))


@lru_cache(maxsize=32)
def metrics_at(threshold: float) -> Mapping[str, Metric]:
    """Every metric by name; those of acting or not act from probability `threshold` (`objective.threshold`) on."""
    confusion = partial(_confusion, threshold)
    found = (
        RankMetric("roc_auc", True, _area),
        RankMetric("average_precision", True, _average_precision),
        # Mean squared error of the probability (Brier 1950, Monthly Weather Review 78:1-3).
        SumMetric("brier_score", False, *_mean_of(lambda y, p: (p - y) ** 2)),
        SumMetric("log_loss", False, *_mean_of(_log_loss)),
        SumMetric("accuracy", True, *_mean_of(lambda y, p: (acted_upon(p, threshold) == (y > 0)).astype(np.float64))),
        SumMetric("precision", True, confusion, lambda s: _ratio(s[:, 0], s[:, 0] + s[:, 1])),
        SumMetric("recall", True, confusion, lambda s: _ratio(s[:, 0], s[:, 0] + s[:, 2])),
        SumMetric("f1", True, confusion, lambda s: _ratio(2 * s[:, 0], 2 * s[:, 0] + s[:, 1] + s[:, 2])),
        # Expected calibration error (Naeini, Cooper & Hauskrecht 2015, AAAI): |prediction - rate| per bin, weighted by rows.
        SumMetric("calibration_error", False, _binned, lambda s: np.abs(s[:, :-1]).sum(axis=1) / s[:, -1]),
    )
    return MappingProxyType({metric.name: metric for metric in found})


@lru_cache(maxsize=32)
def descriptions_at(threshold: float) -> Mapping[str, Metric]:
    """What is watched beside the metrics, by name; `action_rate` is the share of predictions from `threshold` on."""
    action_rate = SumMetric("action_rate", True, *_mean_of(lambda y, p: acted_upon(p, threshold).astype(np.float64)))
    return MappingProxyType({one.name: one for one in (CALIBRATION_GAP, action_rate, POSITIVE_RATE)})


# A decay signal names what it measured; the challenger must be better on this metric.
_MEASURES = {"calibration_gap": "brier_score"}


def metric_named(name: str, threshold: float) -> Metric:
    """The metric of that name, acting from `threshold` on; SpecInvalidError lists the known ones."""
    known = metrics_at(threshold)
    if name not in known:
        raise SpecInvalidError(f"objective.metric is {name!r}; for binary_classification allowed are {', '.join(known)}")
    return known[name]


def objective_metric(spec: ModelSpec) -> Metric:
    """The metric that the model is judged by, at the model's threshold."""
    return metric_named(spec.objective.metric, spec.objective.threshold)


def metric_of_measure(measure: str | None, spec: ModelSpec) -> Metric:
    """The metric on which a challenger answers a decay of `measure`: its own, Brier for a calibration gap, else the objective."""
    found = metrics_at(spec.objective.threshold).get(_MEASURES.get(measure or "", measure or ""))
    return found or objective_metric(spec)


def binary_metrics(y: Floats, p: Floats, threshold: float) -> dict[str, float]:
    """Metrics and descriptions of labels y (n,) and probabilities p (n,) at this threshold; undefined ones are left out."""
    wanted = [*metrics_at(threshold).values(), *descriptions_at(threshold).values()]
    values = {metric.name: metric.score(y, p) for metric in wanted}
    return {name: value for name, value in values.items() if np.isfinite(value)}
