"""How good predictions are beyond no skill, with a standard error that respects blocks of time. Pure; numpy only.

Skill is 0 for a model that knows nothing and 1 for a perfect one, so "5 % lost" means the same for every metric: ROC AUC 2a - 1
(Gini); average precision (a - r) / (1 - r) with r the observed rate; Brier and log loss 1 - loss / loss of always saying r
(Murphy 1973); other metrics as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.evaluation.metrics import CALIBRATION_GAP, POSITIVE_RATE, Metric

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


def skill_values(metric: str, values: Floats, rates: Floats) -> Floats:
    """Skill of metric values (k,) at observed rates (k,); formulas in the module's docstring."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if metric == "roc_auc":
            return 2 * values - 1
        if metric == "average_precision":
            return (values - rates) / (1 - rates)
        if metric == "brier_score":
            return 1 - values / (rates * (1 - rates))
        if metric == "log_loss":
            return 1 - values / -(rates * np.log(rates) + (1 - rates) * np.log1p(-rates))
    return values


def skill(metric: Metric, labels: Floats, predictions: Floats, blocks: Codes) -> Estimate:
    """Skill on labels (n,) in {0, 1} and predictions (n,), with the delete-one-block jackknife's error (Kuensch 1989)."""
    count = int(blocks.max()) + 1
    weights = np.vstack([np.ones((1, count)), np.ones((count, count)) - np.eye(count)])
    values = metric.resample(labels, predictions, blocks, weights)
    rates = POSITIVE_RATE.resample(labels, predictions, blocks, weights)
    return _jackknife(skill_values(metric.name, values, rates))


def mean_gap(labels: Floats, predictions: Floats, blocks: Codes) -> Estimate:
    """Mean prediction minus observed rate, with the delete-one-block jackknife's error: positive means too high."""
    count = int(blocks.max()) + 1
    weights = np.vstack([np.ones((1, count)), np.ones((count, count)) - np.eye(count)])
    return _jackknife(CALIBRATION_GAP.resample(labels, predictions, blocks, weights))


def _jackknife(values: Floats) -> Estimate:
    """First value: all blocks; the others: one block left out each. Variance (B - 1) / B * sum of squared deviations."""
    without = values[1:]
    count = without.size
    if count < FEWEST_BLOCKS or not np.isfinite(without).all():
        return Estimate(float(values[0]), float("nan"), count)
    variance = (count - 1) / count * float(np.sum((without - without.mean()) ** 2))
    return Estimate(float(values[0]), float(np.sqrt(variance)), count)
