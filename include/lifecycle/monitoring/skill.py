"""How good predictions are beyond no skill, with a standard error that respects blocks of time. Pure; numpy only.

Skill is (a - n) / (b - n), with a the metric, b its best value and n what it is for someone who knows only how frequent the
labels are (Murphy 1973): 0 for a model that knows nothing, 1 for a perfect one, so "5 % lost" means the same for every metric.
n is 1/2 for areas under the ROC curve, the observed rate for average precision, the loss of always saying the observed rates for
Brier and log loss, 0 for other scores. An error of a regression stays an error: its loss is its relative increase (Hyndman &
Koehler 2006, Int. J. Forecasting 22:679-688, relative measures, with the own hold-out as benchmark).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.evaluation.metrics import CALIBRATION_GAP, POSITIVE_RATE, Metric
from include.lifecycle.evaluation.metrics_multiclass import one_hot
from include.lifecycle.evaluation.metrics_regression import ERRORS
from include.lifecycle.evaluation.metrics_regression import METRICS as REGRESSION_METRICS
from include.lifecycle.statistics.intervals import block_sums

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

DAY = 86_400.0
FEWEST_BLOCKS = 5


@dataclass(frozen=True)
class Estimate:
    """A value with its standard error, from `blocks` blocks; the error is NaN when there are too few."""

    value: float
    error: float
    blocks: int

    def margin(self, confidence: float) -> float:
        """Distance from the value to its one-sided bound: Student's t with blocks - 1 degrees of freedom. NaN when unknown."""
        from scipy.special import stdtrit

        return float(stdtrit(self.blocks - 1, confidence)) * self.error if self.blocks >= FEWEST_BLOCKS else float("nan")


def time_blocks(times: Floats, start: float, length: float) -> Codes:
    """Number of the block (from 0, without gaps) of each time in [start, start + length): days in windows of at least
    seven, else 24 equal parts. Rows of one block may depend on each other; days of a shorter window are judged by `confirm`."""
    parts = int(np.ceil(length / DAY)) if length >= 7 * DAY else 24
    block = np.floor((times - start) / length * parts).astype(np.int64)
    return np.unique(block, return_inverse=True)[1].astype(np.intp)


def is_error(metric: str) -> bool:
    """Whether a metric is a regression's error, which is compared by its relative increase and not by skill."""
    return metric in ERRORS


def skill_values(metric: str, values: Floats, rates: Floats) -> Floats:
    """Skill of a binary model's metric values (k,) at observed rates (k,); formulas in the module's docstring."""
    return skill_beyond(metric, values, no_skill(metric, np.column_stack([1 - rates, rates]), binary=True))


def skill_beyond(metric: str, values: Floats, none: Floats) -> Floats:
    """Skill of metric values (k,), given what each is without skill (k,); errors of a regression come back as they are."""
    if is_error(metric):
        return values
    best = 0.0 if metric in ("brier_score", "log_loss") else 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((values - none) / (best - none))


def no_skill(metric: str, shares: Floats, *, binary: bool) -> Floats:
    """What a metric is (k,) for someone who knows only the labels' class shares (k, classes); 0 where no such value is used.

    A binary Brier score counts the second class only, a multiclass one all of them.
    """
    if metric in ("roc_auc", "roc_auc_ovr"):
        return np.full(len(shares), 0.5)
    if metric == "average_precision":
        return np.asarray(shares[:, 1])
    if metric == "brier_score":
        return np.asarray((1 - (shares**2).sum(axis=1)) / (2 if binary else 1))
    if metric == "log_loss":
        return np.asarray(-np.sum(shares * np.log(shares, where=shares > 0, out=np.zeros_like(shares)), axis=1))
    return np.zeros(len(shares))


def observed_no_skill(metric: Metric, labels: Floats, predictions: Floats, blocks: Codes, weights: Floats) -> Floats:
    """`no_skill` at the class shares of labels (n,) under block weights (r, blocks); zeros for a regression's metrics."""
    if metric.name in REGRESSION_METRICS:
        return np.zeros(len(weights))
    if predictions.ndim == 1:
        rates = POSITIVE_RATE.resample(labels, predictions, blocks, weights)
        return no_skill(metric.name, np.column_stack([1 - rates, rates]), binary=True)
    counts = weights @ block_sums(one_hot(labels, predictions.shape[1]), blocks, weights.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = counts / counts.sum(axis=1, keepdims=True)
    return no_skill(metric.name, shares, binary=False)


def whole_skill(metric: Metric, labels: Floats, predictions: Floats) -> tuple[float, float]:
    """Skill on all rows, and what the metric is without any."""
    blocks, once = np.zeros(len(labels), dtype=np.intp), np.ones((1, 1))
    none = observed_no_skill(metric, labels, predictions, blocks, once)
    return float(skill_beyond(metric.name, np.array([metric.score(labels, predictions)]), none)[0]), float(none[0])


def skill(metric: Metric, labels: Floats, predictions: Floats, blocks: Codes) -> Estimate:
    """Skill on labels (n,) and predictions (see Metric), with the delete-one-block jackknife's error (Kuensch 1989)."""
    count = int(blocks.max()) + 1
    weights = np.vstack([np.ones((1, count)), np.ones((count, count)) - np.eye(count)])
    values = metric.resample(labels, predictions, blocks, weights)
    return jackknife(skill_beyond(metric.name, values, observed_no_skill(metric, labels, predictions, blocks, weights)))


def metric_estimate(metric: Metric, labels: Floats, predictions: Floats, blocks: Codes) -> Estimate:
    """A metric's plain value on labels (n,) and predictions (see Metric), with the same error as `skill`."""
    count = int(blocks.max()) + 1
    weights = np.vstack([np.ones((1, count)), np.ones((count, count)) - np.eye(count)])
    return jackknife(metric.resample(labels, predictions, blocks, weights))


def mean_gap(labels: Floats, predictions: Floats, blocks: Codes) -> Estimate:
    """Mean prediction minus mean label, both (n,), with the delete-one-block jackknife's error: positive means too high."""
    count = int(blocks.max()) + 1
    weights = np.vstack([np.ones((1, count)), np.ones((count, count)) - np.eye(count)])
    return jackknife(CALIBRATION_GAP.resample(labels, predictions, blocks, weights))


def jackknife(values: Floats) -> Estimate:
    """Estimate from values (1 + blocks,): the first of all blocks, the others with one block left out each (Kuensch 1989).

    Variance (B - 1) / B * sum of squared deviations.
    """
    without = values[1:]
    count = without.size
    if count < FEWEST_BLOCKS or not np.isfinite(without).all():
        return Estimate(float(values[0]), float("nan"), count)
    variance = (count - 1) / count * float(np.sum((without - without.mean()) ** 2))
    return Estimate(float(values[0]), float(np.sqrt(variance)), count)
