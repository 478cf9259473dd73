"""Confidence-based performance estimation: what a classifier's metric is expected to be, without a label. Pure; numpy only.

Each row counts as every class at once, weighted by its calibrated probability, and the metric is taken over those weighted rows
(NannyML's CBPE, "How performance estimation works"; for accuracy the mean of max(p, 1 - p)). It sees what a shift of inputs does
to a model whose probabilities stay right; a changed relation of inputs to outcome it cannot see.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.evaluation.metrics import Metric
from include.lifecycle.monitoring.skill import Estimate, jackknife, no_skill, skill_beyond

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]


def calibrated(curves: list[tuple[Floats, Floats]], predictions: Floats) -> Floats:
    """Chances (n, classes) of predictions (n,) or (n, classes), each class along its curve (scores, rates); rows sum to 1.

    Binary: one curve, of the second class.
    """
    if predictions.ndim == 1:
        (curve,) = curves
        chance = np.clip(np.interp(predictions, *curve), 0.0, 1.0)
        return np.column_stack([1 - chance, chance])
    chances = np.column_stack([np.interp(column, *curve) for column, curve in zip(predictions.T, curves, strict=True)])
    total = chances.sum(axis=1, keepdims=True)
    shares: Floats = np.divide(chances, total, out=np.full(chances.shape, 1 / len(curves)), where=total > 0)
    return shares


def expected_value(metric: Metric, chances: Floats, predictions: Floats) -> float:
    """The metric that predictions (see Metric) are expected to have, given chances (n, classes); NaN where it is undefined."""
    return float(_expected(metric, chances, predictions, np.ones((1, len(chances))))[0])


def expected_skill(metric: Metric, chances: Floats, predictions: Floats) -> float:
    """The skill (skill.py) that predictions are expected to have, given chances (n, classes)."""
    return float(_skills(metric, chances, predictions, np.ones((1, len(chances))))[0])


def estimates(metric: Metric, chances: Floats, predictions: Floats, blocks: Codes) -> tuple[Estimate, Estimate]:
    """Expected value and skill, each with the delete-one-block jackknife's error over blocks (n,) of time."""
    count = int(blocks.max()) + 1
    rows = np.vstack([np.ones((1, count)), np.ones((count, count)) - np.eye(count)])[:, blocks]
    return jackknife(_expected(metric, chances, predictions, rows)), jackknife(_skills(metric, chances, predictions, rows))


def _skills(metric: Metric, chances: Floats, predictions: Floats, rows: Floats) -> Floats:
    shares = rows @ chances / rows.sum(axis=1, keepdims=True)
    none = no_skill(metric.name, shares, binary=predictions.ndim == 1)
    return skill_beyond(metric.name, _expected(metric, chances, predictions, rows), none)


def _expected(metric: Metric, chances: Floats, predictions: Floats, rows: Floats) -> Floats:
    """The metric (r,) under row weights (r, n): every row once per class, weighted by its chance."""
    count, classes = chances.shape
    labels = np.repeat(np.arange(classes, dtype=np.float64), count)
    copies = np.concatenate([predictions] * classes)
    weights = np.tile(rows, (1, classes)) * chances.T.reshape(-1)
    return metric.resample(labels, copies, np.arange(labels.size, dtype=np.intp), weights)
