"""Always-valid comparison of two arms of an experiment: bounds of a difference of means, and whether the split is as planned.

Used by A/B tests, which look as often as they like and may stop at any look. Pure; samples are sticky keys, never single rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

FEWEST_SAMPLES = 100
"""Samples per arm below which no bound is given: the central limit theorem that it rests on says nothing about few."""
CONCENTRATION = 10_000.0
"""How close to the planned split the alternative is looked for; the value of Lindon and Malek's own implementation (ssrm)."""


class Arm(BaseModel):
    """One arm of an experiment: number of samples, their mean and their variance (divisor n - 1; 0 below two samples)."""

    model_config = ConfigDict(frozen=True)

    samples: int
    mean: float
    variance: float


def arm_of(values: Floats) -> Arm:
    """Count, mean and variance of the samples (n,); NaN mean when there is none."""
    if values.size == 0:
        return Arm(samples=0, mean=math.nan, variance=0.0)
    return Arm(samples=values.size, mean=float(values.mean()), variance=float(values.var(ddof=1)) if values.size > 1 else 0.0)


def means_by_unit(values: Floats, codes: Codes, units: int) -> Floats:
    """Mean of the `values` (n,) of each unit, by its code (n,): (units,), NaN for a unit without any.

    A user with many rows counts once, as one with few: rows of one user resemble each other and are no independent samples.
    """
    counts = np.bincount(codes, minlength=units)
    sums = np.bincount(codes, weights=values, minlength=units)
    return np.asarray(np.divide(sums, counts, out=np.full(units, np.nan), where=counts > 0), dtype=np.float64)


def mean_difference_bounds(first: Arm, second: Arm, alpha: float, best_at: float) -> tuple[float, float]:
    """Lower and upper bound of mean(first) - mean(second), valid at all looks at once at level `alpha` (two-sided).

    The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), "Time-uniform central limit
    theory and asymptotic confidence sequences", Ann. Statist. 52(6), theorem 2.2, for the difference of two means:
    d +- sqrt(N V) sqrt(2 (N r^2 + 1) / (N^2 r^2) log(sqrt(N r^2 + 1) / alpha)), with N = n1 + n2 and V = s1^2 / n1 + s2^2 / n2.
    r is their optimum for `best_at` samples of both arms together: fix it before the test. No arm's variance is taken as smaller
    than the pooled one: a small arm that has met none of the rare outcomes yet would seem sure of itself (unpooled, at 10 %
    against 90 % and a rate of 1 %, one test in five erred).
    (-inf, inf) below FEWEST_SAMPLES per arm, and while nothing varies. Raises ValueError for alpha outside (0, 1), best_at <= 0.
    """
    if not 0 < alpha < 1 or best_at <= 0:
        raise ValueError(f"alpha must be between 0 and 1 and best_at positive; got {alpha} and {best_at}")
    if min(first.samples, second.samples) < FEWEST_SAMPLES:
        return -math.inf, math.inf
    both = first.samples + second.samples
    pooled = ((first.samples - 1) * first.variance + (second.samples - 1) * second.variance) / (both - 2)
    spread = sum(max(arm.variance, pooled) / arm.samples for arm in (first, second))
    if spread <= 0:
        return -math.inf, math.inf
    tuned = both * _tuning(alpha, best_at)
    margin = math.sqrt(both * spread) * math.sqrt(2 * (tuned + 1) / (both * tuned) * math.log(math.sqrt(tuned + 1) / alpha))
    difference = first.mean - second.mean
    return difference - margin, difference + margin


def _tuning(alpha: float, best_at: float) -> float:
    """r^2 for which the bounds are tightest at `best_at` samples (Waudby-Smith et al. 2024, appendix B.2)."""
    doubt = -2 * math.log(alpha)
    return (doubt + math.log(doubt + 1)) / best_at


def sample_ratio_p_value(counts: Sequence[int], planned: Sequence[float]) -> float:
    """Sequential p-value of samples being split as `planned` (shares that sum to 1): may be looked at after every sample.

    1 / BF of a multinomial against a Dirichlet(CONCENTRATION x planned) mixture: Lindon and Malek (2022), "Anytime-valid
    inference for multinomial count data", NeurIPS 35. Under the planned split it ever falls below a level with at
    most that probability.
    Raises ValueError for negative counts, shares that are not positive or do not sum to 1, or lists of different length.
    """
    if len(counts) != len(planned) or any(one < 0 for one in counts) or any(one <= 0 for one in planned):
        raise ValueError(f"got counts {list(counts)} and shares {list(planned)}; allowed: counts from 0, shares above 0")
    if abs(sum(planned) - 1) > 1e-9:
        raise ValueError(f"planned shares must sum to 1; got {list(planned)}")
    prior = [CONCENTRATION * share for share in planned]
    found = math.lgamma(CONCENTRATION) - math.lgamma(CONCENTRATION + sum(counts))
    for count, share, before in zip(counts, planned, prior, strict=True):
        found += math.lgamma(before + count) - math.lgamma(before) - count * math.log(share)
    return 1.0 if found <= 0 else math.exp(-found)
