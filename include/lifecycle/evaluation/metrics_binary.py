"""Metrics of a binary classifier: labels y (n,) in {0, 1} and probabilities p (n,) of class 1."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.evaluation.metrics_base import (
    TINY,
    Metric,
    RankMetric,
    SumMetric,
    average_precision,
    mean_of,
    ratio,
    roc_area,
)
from include.lifecycle.statistics.intervals import Floats

CALIBRATION_BINS = 10
OF_ACTING = frozenset({"accuracy", "precision", "recall", "f1"})  # their value changes with the threshold


def acted_upon(p: Floats, threshold: float) -> NDArray[np.bool_]:
    """Which of the probabilities p (n,) are acted upon: those from `objective.threshold` on, itself included."""
    return np.asarray(p >= threshold)


def _confusion(threshold: float, y: Floats, p: Floats) -> Floats:
    """Columns: true positives, false positives, false negatives."""
    act = acted_upon(p, threshold).astype(np.float64)
    return np.column_stack([act * y, act * (1 - y), (1 - act) * y])


def _log_loss(y: Floats, p: Floats) -> Floats:
    safe = np.clip(p, TINY, 1 - TINY)
    return -np.where(y > 0, np.log(safe), np.log1p(-safe))


def _binned(y: Floats, p: Floats) -> Floats:
    """Per calibration bin of equal width: surplus of prediction over label; last column: rows."""
    which = np.minimum((p * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1)
    parts = np.zeros((len(y), CALIBRATION_BINS + 1))
    parts[np.arange(len(y)), which] = p - y
    parts[:, -1] = 1
    return parts


# Watched beside the metrics; they have no better direction of their own.
CALIBRATION_GAP = SumMetric("calibration_gap", False, *mean_of(lambda y, p: p - y))
POSITIVE_RATE = SumMetric("positive_rate", True, *mean_of(lambda y, p: y))


@lru_cache(maxsize=32)
def metrics_at(threshold: float) -> Mapping[str, Metric]:
    """Every metric by name; those of acting or not act from probability `threshold` (`objective.threshold`) on."""
    confusion = partial(_confusion, threshold)
    found = (
        RankMetric("roc_auc", True, roc_area),
        RankMetric("average_precision", True, average_precision),
        # Mean squared error of the probability (Brier 1950, Monthly Weather Review 78:1-3).
        SumMetric("brier_score", False, *mean_of(lambda y, p: (p - y) ** 2)),
        SumMetric("log_loss", False, *mean_of(_log_loss)),
        SumMetric("accuracy", True, *mean_of(lambda y, p: (acted_upon(p, threshold) == (y > 0)).astype(np.float64))),
        SumMetric("precision", True, confusion, lambda s: ratio(s[:, 0], s[:, 0] + s[:, 1])),
        SumMetric("recall", True, confusion, lambda s: ratio(s[:, 0], s[:, 0] + s[:, 2])),
        SumMetric("f1", True, confusion, lambda s: ratio(2 * s[:, 0], 2 * s[:, 0] + s[:, 1] + s[:, 2])),
        # Expected calibration error (Naeini, Cooper & Hauskrecht 2015, AAAI): |prediction - rate| per bin, weighted by rows.
        SumMetric("calibration_error", False, _binned, lambda s: np.abs(s[:, :-1]).sum(axis=1) / s[:, -1]),
    )
    return MappingProxyType({metric.name: metric for metric in found})


@lru_cache(maxsize=32)
def descriptions_at(threshold: float) -> Mapping[str, Metric]:
    """What is watched beside the metrics, by name; `action_rate` is the share of predictions from `threshold` on."""
    action_rate = SumMetric("action_rate", True, *mean_of(lambda y, p: acted_upon(p, threshold).astype(np.float64)))
    return MappingProxyType({one.name: one for one in (CALIBRATION_GAP, action_rate, POSITIVE_RATE)})
