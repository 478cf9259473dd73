"""Always-valid confidence sequences for a proportion: bounds that may be looked at after every request without inflating errors.

Used by rollout checks, which peek about once a second and stop at the first failure.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
_HALVINGS = 200
_log_gamma = np.frompyfunc(math.lgamma, 1, 1)


def proportion_bounds(
    successes: ArrayLike, trials: ArrayLike, alpha: float, *, prior: tuple[float, float] = (0.5, 0.5)
) -> tuple[Floats, Floats]:
    """Lower and upper bound of a Bernoulli proportion, valid at all sample sizes at once (time-uniform) at level `alpha`.

    `successes` and `trials` are counts of equal (broadcastable) shape; both results have that shape, within [0, 1]. With
    probability at least 1 - alpha the true proportion lies between the bounds at *every* moment of the stream, so stopping when a
    bound crosses a limit errs with probability at most alpha, however often one looks. No trials give (0, 1).

    The set {p : M_n(p) < 1/alpha} of the beta-binomial mixture martingale
    M_n(p) = B(a + S, b + n - S) / B(a, b) / (p^S (1 - p)^(n - S)) with prior Beta(a, b), by Ville's inequality:
    Robbins (1970), "Statistical methods related to the law of the iterated logarithm", Ann. Math. Statist. 41(5);
    Howard, Ramdas, McAuliffe, Sekhon (2021), "Time-uniform, nonparametric, nonasymptotic confidence sequences", Ann. Stat. 49(2).
    Raises ValueError when a count is negative, successes exceed trials, or alpha is not in (0, 1).
    """
    hits, total = np.broadcast_arrays(np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64))
    _check(hits, total, alpha)
    misses = total - hits
    a, b = prior
    mixture = _log_beta(a + hits, b + misses) - _log_beta(np.float64(a), np.float64(b))
    level = mixture + math.log(alpha)
    centre = np.divide(hits, total, out=np.full(hits.shape, 0.5), where=total > 0)
    lower = _crossing(hits, misses, level, np.zeros(hits.shape), centre)
    upper = _crossing(hits, misses, level, np.ones(hits.shape), centre)
    return np.where(hits > 0, lower, 0.0), np.where(misses > 0, upper, 1.0)


def proportion_interval(successes: int, trials: int, alpha: float) -> tuple[float, float]:
    """`proportion_bounds` for one pair of counts, as two floats, without arrays: a rollout's look asks five of these a second."""
    _check(np.float64(successes), np.float64(trials), alpha)
    hits, misses = float(successes), float(trials - successes)
    level = float(_log_beta(0.5 + hits, 0.5 + misses) - _log_beta(0.5, 0.5)) + math.log(alpha)
    centre = hits / trials if trials else 0.5
    lower = _meeting(hits, misses, level, 0.0, centre) if hits else 0.0
    return lower, _meeting(hits, misses, level, 1.0, centre) if misses else 1.0


def _check(hits: Floats | np.float64, total: Floats | np.float64, alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be between 0 and 1, got {alpha}")
    if np.any(hits < 0) or np.any(hits > total):
        raise ValueError("counts must satisfy 0 <= successes <= trials")


def _log_beta(a: ArrayLike, b: ArrayLike) -> Floats:
    total = np.asarray(a) + np.asarray(b)
    return np.asarray(_log_gamma(a) + _log_gamma(b) - _log_gamma(total), dtype=np.float64)


def _log_likelihood(p: Floats, hits: Floats, misses: Floats) -> Floats:
    """S log p + (n - S) log(1 - p), with 0 log 0 = 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.where(hits > 0, hits * np.log(p), 0.0)
        second = np.where(misses > 0, misses * np.log1p(-p), 0.0)
    return np.asarray(first + second, dtype=np.float64)


def _meeting(hits: float, misses: float, level: float, outside: float, inside: float) -> float:
    """`_crossing` of one pair of counts."""
    for _ in range(_HALVINGS):
        middle = (outside + inside) / 2
        if middle in (outside, inside):
            break
        likelihood = (hits * math.log(middle) if hits else 0.0) + (misses * math.log1p(-middle) if misses else 0.0)
        if likelihood >= level:
            inside = middle
        else:
            outside = middle
    return outside


def _crossing(hits: Floats, misses: Floats, level: Floats, outside: Floats, inside: Floats) -> Floats:
    """Bisect for the p between `outside` (likelihood below level) and `inside` (above) where the likelihood meets the level.

    Returns the outer end of the last bracket, so that rounding widens the interval and never narrows it.
    """
    out, within = outside.copy(), inside.copy()
    for _ in range(_HALVINGS):
        middle = (out + within) / 2
        if np.all((middle == out) | (middle == within)):
            break
        contained = _log_likelihood(middle, hits, misses) >= level
        within = np.where(contained, middle, within)
        out = np.where(contained, out, middle)
    return out
