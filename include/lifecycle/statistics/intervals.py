"""Intervals: of a proportion (Wilson, Clopper-Pearson), and of any statistic by resampling whole blocks (days, entities).

Rows of a time series are never resampled singly: rows of one day share their weather. Pure; gates and monitoring use them.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

# With fewer blocks a resampled interval says more about luck than about the model.
MINIMUM_BLOCKS = 5
# Resamples in which the statistic is undefined (one class only) tolerated before the interval is.
_UNDEFINED_SHARE = 0.05


class Interval(BaseModel):
    """An estimate with its two-sided interval at `confidence`; bounds are NaN when it cannot be told."""

    model_config = ConfigDict(frozen=True)

    estimate: float
    lower: float
    upper: float
    confidence: float

    @property
    def known(self) -> bool:
        """Whether both bounds are numbers."""
        return math.isfinite(self.lower) and math.isfinite(self.upper)

    def evidence(self) -> dict[str, Any]:
        """The interval as JSON-plain evidence, unknown numbers as None."""
        return {name: plain_number(value) for name, value in self.model_dump().items()}


def plain_number(value: float) -> float | None:
    """A number as JSON and PostgreSQL take it: six digits, None for NaN and infinities."""
    return round(value, 6) if math.isfinite(value) else None


def wilson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Score interval of a proportion (Wilson 1927, JASA 22:209-212): near-nominal on average, sensible at 0 and 1.

    Raises ValueError unless 0 <= successes <= trials. No trials: bounds 0 and 1, estimate NaN.
    """
    _check_counts(successes, trials)
    if trials == 0:
        return Interval(estimate=math.nan, lower=0.0, upper=1.0, confidence=confidence)
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    share = successes / trials
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = math.sqrt(z2 * (share * (1 - share) / trials + z2 / (4 * trials**2))) / (1 + z2 / trials)
    lower = 0.0 if successes == 0 else max(0.0, centre - half)
    upper = 1.0 if successes == trials else min(1.0, centre + half)
    return Interval(estimate=share, lower=lower, upper=upper, confidence=confidence)


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Exact interval of a proportion (Clopper & Pearson 1934, Biometrika 26:404-413): coverage never below nominal.

    Raises ValueError unless 0 <= successes <= trials. No trials: bounds 0 and 1, estimate NaN.
    """
    from scipy.special import betaincinv

    _check_counts(successes, trials)
    tail, failures = (1 - confidence) / 2, trials - successes
    lower = float(betaincinv(successes, failures + 1, tail)) if successes else 0.0
    upper = float(betaincinv(successes + 1, failures, 1 - tail)) if failures else 1.0
    share = successes / trials if trials else math.nan
    return Interval(estimate=share, lower=lower, upper=upper, confidence=confidence)


def _check_counts(successes: int, trials: int) -> None:
    if not 0 <= successes <= trials:
        raise ValueError(f"got {successes} successes of {trials} trials; allowed are 0 <= successes <= trials")


def block_codes(labels: ArrayLike) -> tuple[Codes, int]:
    """Number the blocks: labels (n,) of any comparable kind -> codes (n,) from 0, and how many blocks there are."""
    names, codes = np.unique(np.asarray(labels), return_inverse=True)
    return codes.astype(np.intp), len(names)


def resample_weights(blocks: int, resamples: int, seed: int) -> Floats:
    """How often each block is drawn: (resamples, blocks), rows sum to `blocks` (Efron & Tibshirani 1993, ch. 8: blocks as units).

    Weights instead of copied rows let one pass over sorted scores give any statistic, and let two models share their resamples.
    """
    if blocks < 1:
        raise ValueError(f"got {blocks} blocks to resample; at least one is needed")
    draws = np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), size=resamples)
    return draws.astype(np.float64)


def block_sums(parts: Floats, codes: Codes, blocks: int) -> Floats:
    """Sum rows' `parts` (n, k) within their blocks: (blocks, k)."""
    return np.stack([np.bincount(codes, weights=column, minlength=blocks) for column in parts.T], axis=1)


def resampled_interval(estimate: float, samples: Floats, blocks: int, confidence: float = 0.95) -> Interval:
    """Expanded percentile interval of resampled values (Hesterberg 2015, The American Statistician 69:371-386, section 4.3).

    The plain percentile interval is too short for few blocks; the tail is widened to that of Student's t with blocks - 1 degrees
    of freedom. Unknown (NaN bounds) with fewer than MINIMUM_BLOCKS blocks, or when the statistic is often undefined.
    """
    from scipy.special import stdtrit

    defined = samples[np.isfinite(samples)]
    unknown = Interval(estimate=estimate, lower=math.nan, upper=math.nan, confidence=confidence)
    if blocks < MINIMUM_BLOCKS or not math.isfinite(estimate) or len(defined) < (1 - _UNDEFINED_SHARE) * max(1, len(samples)):
        return unknown
    student = float(stdtrit(blocks - 1, (1 + confidence) / 2))
    tail = NormalDist().cdf(-math.sqrt(blocks / (blocks - 1)) * student)
    lower, upper = np.quantile(defined, [tail, 1 - tail])
    return Interval(estimate=estimate, lower=float(lower), upper=float(upper), confidence=confidence)


def block_bootstrap_mean(values: Floats, labels: ArrayLike, *, resamples: int, confidence: float, seed: int) -> Interval:
    """Interval of the mean of `values` (n,) when rows of one label depend on each other."""
    codes, blocks = block_codes(labels)
    sums = block_sums(np.column_stack([values, np.ones(len(values))]), codes, blocks)
    drawn = resample_weights(blocks, resamples, seed) @ sums
    return resampled_interval(float(np.mean(values)), drawn[:, 0] / drawn[:, 1], blocks, confidence)


def block_bootstrap_difference(
    first: Floats, second: Floats, labels: ArrayLike, *, resamples: int, confidence: float, seed: int
) -> Interval:
    """Interval of mean(first - second) for paired values (n,): the pair stays together, whole blocks are drawn."""
    return block_bootstrap_mean(first - second, labels, resamples=resamples, confidence=confidence, seed=seed)


def quantile_interval(values: Floats, level: float, confidence: float = 0.95) -> Interval:
    """Distribution-free interval of a quantile by order statistics (Conover 1999, section 3.2): coverage never below nominal.

    The bound is NaN where no order statistic reaches so far (level 0.95 at confidence 0.95: an upper one needs 73 values).
    """
    from scipy.special import bdtr

    count, ordered = len(values), np.sort(values)
    if count == 0:
        return Interval(estimate=math.nan, lower=math.nan, upper=math.nan, confidence=confidence)
    tail = (1 - confidence) / 2
    # the r-th smallest value is at or below the quantile with probability P(Binomial(count, level) >= r)
    below = bdtr(np.arange(count + 1), count, level)
    low, high = int(np.searchsorted(below, tail)), int(np.searchsorted(below, 1 - tail)) + 1
    lower = float(ordered[low - 1]) if low >= 1 else math.nan
    upper = float(ordered[high - 1]) if high <= count else math.nan
    return Interval(estimate=float(np.quantile(ordered, level)), lower=lower, upper=upper, confidence=confidence)
