"""One-sided safe test of two proportions: is the challenger's share of hits (errors, slow answers) above the champion's?

A test by betting that may be looked at after every block, for arms of any sizes. Rollout checks feed it block by block
and store its state with the rollout; derivation and measured error rates: docs/rollout-analysis.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

ODDS = (1.5, 2.0, 3.5, 7.0, 14.0)
"""Alternatives: how many times the champion's odds of a hit the challenger's are."""
STAKES = (0.07, 0.09, 0.11, 0.14, 0.20)
"""Part of the capital bet on each; the rest is never bet, so that the e-value stays above it and early noise cannot ruin it."""
_PRIOR_HITS, _PRIOR_TOTAL = 1.0, 51.0  # the champion's rate before anything was seen: about 2 %
_LARGEST_GAIN = 2.4  # of one block, in logarithm of the capital: no single burst decides
_STANDARD_ERRORS = 2.0  # a correlation counts above this noise
_HITS, _TOTAL = slice(0, 4, 2), slice(1, 4, 2)  # champion, challenger
_EXCESS, _PAIRS, _NOISE = slice(4, 6), slice(6, 8), slice(8, 10)
_BEST, _PENDING, _WEALTH = 10, slice(11, 15), slice(15, 15 + len(ODDS))
ROWS = 15 + len(ODDS)
_BET = np.log(np.array(STAKES))
_KEPT = math.log(1 - sum(STAKES))


def empty(streams: tuple[int, ...] = ()) -> Floats:
    """State before anything was seen, (ROWS, *streams): capital 1 on every alternative."""
    return np.zeros((ROWS, *streams))


def advance(state: Floats, block: ArrayLike, share: float | None = None) -> Floats:
    """State after one more block. `block` is (4, ...): champion's hits and total, challenger's hits and total in it.

    What is bet on a block depends on earlier blocks only (predictable plug-in): with p the champion's rate of hits so far, q_k
    the rate with ODDS[k] times its odds and m = w q_k + (1 - w) p, the capital on alternative k is multiplied by
    (p / m)^y_a ((1 - p) / (1 - m))^(n_a - y_a) (q_k / m)^y_b ((1 - q_k) / (1 - m))^(n_b - y_b). Its mean is at most 1 when the
    challenger's rate is at most the champion's in this block, whatever that is and however it changes from block to block: the
    capital is then a nonnegative supermartingale. Turner, Ly, Gruenwald (2024), "Generic E-variables for exact sequential
    k-sample tests that allow for optional stopping", J. Stat. Plan. Inference 230; one-sided, since q_k > p.

    w is `share`, the probability with which the gateway gives a request to the challenger: each request alone is then a fair bet
    over the gateway's draw, however hits depend on each other. Without it (sticky arms) w is n_b / (n_a + n_b), a block with
    requests of one arm only waits and is joined to the next.

    Hits that come in bursts within an arm count for less: hits and totals are divided by the design effect 1 + (n - 1) rho (Rao
    and Scott 1992), and a block multiplies the capital by e^2.4 at most. The mean stays at most 1: powers below 1 of a fair bet's
    parts, and what is cut off, only lose.
    """
    waiting = state[_PENDING] + np.asarray(block, dtype=np.float64)
    ready = (waiting[1] > 0) & (waiting[3] > 0) if share is None else np.full(waiting.shape[1:], fill_value=True)
    found = np.where(ready, waiting, 0.0)
    hits, total = found[0::2], found[1::2]
    after = state.copy()
    after[_PENDING] = np.where(ready, 0.0, waiting)
    weight = 1 / (1 + np.maximum(total - 1, 0.0) * correlation(state))
    sizes = total * weight if share is None else np.array([1 - share, share]).reshape(2, *[1] * (total.ndim - 1)) * weight
    both = sizes.sum(axis=0)
    part = np.divide(sizes[1], both, out=np.zeros_like(both), where=both > 0)
    rate = (_PRIOR_HITS + state[_HITS][0]) / (_PRIOR_TOTAL + state[_TOTAL][0])
    after[_WEALTH] += np.minimum(log_factors(rate, part, hits * weight, total * weight), _LARGEST_GAIN)
    _count(after, hits, total)
    after[_BEST] = np.maximum(state[_BEST], log_e(after))
    return after


def log_factors(rate: Floats, part: Floats, hits: Floats, total: Floats) -> Floats:
    """Logarithm of what one block multiplies the capital on each alternative by, (len(ODDS), ...).

    `rate` is the champion's as known before the block, `part` the challenger's part of the requests (w above); `hits` and `total`
    are the block's, (2, ...): champion, challenger; they may be fractions.
    """
    odds = np.multiply.outer(np.array(ODDS), rate / (1 - rate))
    theirs = odds / (1 + odds)
    mean = part * theirs + (1 - part) * rate
    found = _log_ratio(rate, mean, hits[0], total[0]) + _log_ratio(theirs, mean, hits[1], total[1])
    return np.asarray(found, dtype=np.float64)


def log_e(state: Floats) -> Floats:
    """Logarithm of the e-value: the capital kept plus the capital on each alternative."""
    bets = np.logaddexp.reduce(state[_WEALTH].T + _BET, axis=-1).T
    return np.asarray(np.logaddexp(_KEPT, bets), dtype=np.float64)


def correlation(state: Floats) -> Floats:
    """Correlation of two requests of one block and arm, the larger of both arms', within [0, 1]; 0 when hits fall independently.

    By moments around each arm's own rate (Fleiss 1981), less two standard errors that it has without any correlation.
    """
    pairs = np.where(state[_PAIRS] > 0, state[_PAIRS], 1.0)
    both = np.clip((state[_EXCESS] - _STANDARD_ERRORS * np.sqrt(state[_NOISE])) / pairs, 0.0, 1.0)
    return np.asarray(both.max(axis=0), dtype=np.float64)


def _count(state: Floats, hits: Floats, total: Floats) -> None:
    """Add a block to the counts and to the moments of `correlation`; hits and total are (2, ...)."""
    state[_HITS] += hits
    state[_TOTAL] += total
    usual = (state[_HITS] + 0.5) / (state[_TOTAL] + 1.0)
    single = usual * (1 - usual)
    state[_EXCESS] += (hits - total * usual) ** 2 - total * single
    state[_PAIRS] += np.maximum(total - 1, 0.0) * total * single
    state[_NOISE] += np.maximum(2 * (total * single) ** 2 + total * single * (1 - 6 * single), 0.0)


def _log_ratio(share: Floats, mean: Floats, hits: Floats, total: Floats) -> Floats:
    return np.asarray(hits * np.log(share / mean) + (total - hits) * np.log((1 - share) / (1 - mean)), dtype=np.float64)


@dataclass(frozen=True)
class SafeTest:
    """State of one test as plain numbers, to be stored as JSON; `state` is what `advance` works on."""

    state: tuple[float, ...] = (0.0,) * ROWS

    def after(self, champion: tuple[float, float], challenger: tuple[float, float], share: float | None = None) -> SafeTest:
        """The test after one more block of (hits, total) of both arms; `share` as in `advance`. ValueError: hits > total."""
        for hits, total in (champion, challenger):
            if not 0 <= hits <= total:
                raise ValueError(f"counts must satisfy 0 <= hits <= total; got {hits} of {total}")
        found = advance(np.array(self.state), np.array([*champion, *challenger], dtype=np.float64), share)
        return SafeTest(tuple(float(value) for value in found))

    @property
    def log_e(self) -> float:
        """Logarithm of the present e-value."""
        return float(log_e(np.array(self.state)))

    @property
    def log_best(self) -> float:
        """The largest `log_e` so far, at least 0: the test rejects at level alpha once it reaches log(1 / alpha) (Ville 1939)."""
        return self.state[_BEST]

    def rejects(self, alpha: float) -> bool:
        """Whether "not worse" was ever refuted at level `alpha`; wrong with probability at most alpha over the whole stream."""
        return self.log_best >= -math.log(alpha)

    @property
    def champion(self) -> tuple[float, float]:
        """Hits and total of the champion that were judged."""
        return self.state[0], self.state[1]

    @property
    def challenger(self) -> tuple[float, float]:
        """Hits and total of the challenger that were judged."""
        return self.state[2], self.state[3]

    @property
    def difference(self) -> float:
        """Challenger's rate of hits minus the champion's; 0 while one arm has no requests."""
        (hits, total), (other_hits, other_total) = self.champion, self.challenger
        return other_hits / other_total - hits / total if total and other_total else 0.0
