"""Three judges of a canary on the same streams: our safe tests, Flagger's thresholds, and Kayenta's Mann-Whitney judge.

Each takes seconds and answers, per stream, at how many canary requests it first said "roll back" (inf: never).
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.rollout.judging.harm import QUANTILES
from include.lifecycle.statistics.safe_test import advance, empty, log_e

Floats = NDArray[np.float64]
ALPHA = 0.01
MINUTE = 60


class Judge:
    """Base: remembers when each stream was first rolled back, in canary requests."""

    def __init__(self, streams: int) -> None:
        self.canary = np.zeros(streams)
        self.stopped = np.full(streams, np.inf)

    def _stop(self, now: NDArray[np.bool_]) -> None:
        self.stopped = np.where(now & np.isinf(self.stopped), self.canary, self.stopped)


class SafeErrors(Judge):
    """The product's test of errors: a look each second; the difference must pass the floor of half a point."""

    def __init__(self, streams: int, share: float) -> None:
        super().__init__(streams)
        self.state, self.share = empty((streams,)), share

    def second(self, totals: Floats, failed: Floats) -> None:
        """One more second of both arms, (2, streams) each."""
        self.canary += totals[1]
        self.state = advance(self.state, np.stack([failed[0], totals[0], failed[1], totals[1]]), self.share)
        rates = self.state[[0, 2]] / np.maximum(self.state[[1, 3]], 1)
        self._stop((self.state[10] >= -math.log(ALPHA)) & (rates[1] - rates[0] > 0.005))


class FlaggerErrors(Judge):
    """Success rate of the canary per minute against a fixed threshold; rolled back at the fifth failed check."""

    def __init__(self, streams: int, minimum: float, checks: int = 5) -> None:
        super().__init__(streams)
        self.minimum, self.checks, self.elapsed = minimum, checks, 0
        self.window, self.failures = np.zeros((2, streams)), np.zeros(streams)

    def second(self, totals: Floats, failed: Floats) -> None:
        """One more second; a minute without canary requests is no check (Flagger halts on missing values)."""
        self.canary += totals[1]
        self.window += np.stack([totals[1], failed[1]])
        self.elapsed += 1
        if self.elapsed % MINUTE == 0:
            success = 1 - self.window[1] / np.maximum(self.window[0], 1)
            self.failures += (self.window[0] > 0) & (success < self.minimum)
            self._stop(self.failures >= self.checks)
            self.window[:] = 0


class Kayenta(Judge):
    """One value per minute and arm; every ten minutes all of them are judged by Mann-Whitney: rolled back on "High".

    High: the lower end of the 98 % confidence interval of the shift is above a quarter of the estimated shift (NetflixACAJudge).
    """

    def __init__(self, streams: int, tolerance: float = 0.25, confidence: float = 0.98) -> None:
        super().__init__(streams)
        self.tolerance, self.confidence = tolerance, confidence
        self.values: list[Floats] = []

    def minute(self, champion: Floats, canary: Floats) -> None:
        """Another minute's values, (streams,) each."""
        self.values.append(np.stack([champion, canary]))
        if len(self.values) % 10 == 0:
            both = np.stack(self.values)  # (minutes, 2, streams)
            waiting = np.flatnonzero(np.isinf(self.stopped))
            high = np.zeros(self.stopped.shape, dtype=bool)
            for at in waiting:
                high[at] = self._high(both[:, 0, at], both[:, 1, at])
            self._stop(high)

    def _high(self, champion: Floats, canary: Floats) -> bool:
        low, estimate = shift(champion, canary, self.confidence)
        return low > self.tolerance * abs(estimate)


class KayentaErrors(Kayenta):
    """Error rates per minute."""

    def __init__(self, streams: int) -> None:
        super().__init__(streams)
        self.window, self.elapsed = np.zeros((2, 2, streams)), 0

    def second(self, totals: Floats, failed: Floats) -> None:
        """One more second of both arms."""
        self.canary += totals[1]
        self.window += np.stack([totals, failed])
        self.elapsed += 1
        if self.elapsed % MINUTE == 0:
            rates = self.window[1] / np.maximum(self.window[0], 1)
            self.minute(rates[0], rates[1])
            self.window[:] = 0


def shift(control: Floats, experiment: Floats, confidence: float) -> tuple[float, float]:
    """Lower end of the confidence interval, and the Hodges-Lehmann estimate, of how much larger `experiment` is than `control`.

    The order statistics of all pairwise differences whose ranks the normal approximation of Mann and Whitney's U gives
    (Hollander, Wolfe and Chicken 2014, section 4.3; R's wilcox.test(conf.int = TRUE) without ties).
    """
    from scipy.stats import norm

    differences = np.sort(np.subtract.outer(experiment, control), axis=None)
    n, m = experiment.size, control.size
    spread = float(norm.ppf((1 + confidence) / 2)) * math.sqrt(n * m * (n + m + 1) / 12)
    rank = max(int(n * m / 2 - spread), 0)
    return float(differences[rank]), float(np.median(differences))


class SafeLatency(Judge):
    """The product's tests of latency: the mean of the e-values at the champion's quantiles; floor in milliseconds."""

    def __init__(self, streams: int, share: float, floor: float = 10.0, renew: int = 10) -> None:
        super().__init__(streams)
        self.states, self.share, self.floor, self.renew = [empty((streams,)) for _ in QUANTILES], share, floor, renew
        self.recent: deque[Floats] = deque(maxlen=20)
        self.marks: Floats | None = None
        self.elapsed = 0

    def second(self, times: Floats, canary: NDArray[np.bool_]) -> None:
        """One more second: durations and whose they are, (streams, slots) each. The marks are of earlier seconds only."""
        self.canary += canary.sum(axis=1)
        if self.marks is not None:
            for at, mark in enumerate(self.marks):
                slow = times > np.where(canary, mark[:, None] + self.floor, mark[:, None])
                block = [(slow & ~canary).sum(axis=1), (~canary).sum(axis=1), (slow & canary).sum(axis=1), canary.sum(axis=1)]
                self.states[at] = advance(self.states[at], np.stack(block), self.share)
            mean = np.logaddexp.reduce([log_e(state) for state in self.states], axis=0) - math.log(len(self.states))
            self._stop(mean >= -math.log(ALPHA))
        self.recent.append(np.where(canary, np.nan, times))
        self.elapsed += 1
        if self.elapsed % self.renew == 0:
            self.marks = np.nanpercentile(np.concatenate(self.recent, axis=1), list(QUANTILES.values()), axis=1)


class PeerLatency(Judge):
    """Both peers: Flagger's p99 of the canary per minute against a fixed limit, five checks; Kayenta on mean durations."""

    def __init__(self, streams: int, limit: float = 500.0, checks: int = 5) -> None:
        super().__init__(streams)
        self.limit, self.checks, self.elapsed = limit, checks, 0
        self.failures, self.kayenta = np.zeros(streams), Kayenta(streams)
        self.window: list[tuple[Floats, NDArray[np.bool_]]] = []

    def second(self, times: Floats, canary: NDArray[np.bool_]) -> None:
        """One more second of both arms."""
        self.canary += canary.sum(axis=1)
        self.kayenta.canary = self.canary
        self.window.append((times, canary))
        if len(self.window) == MINUTE:
            whole = np.concatenate([one for one, _ in self.window], axis=1)
            mine = np.concatenate([one for _, one in self.window], axis=1)
            ours, theirs = np.where(mine, whole, np.nan), np.where(mine, np.nan, whole)
            self.failures += np.nanpercentile(ours, 99, axis=1) > self.limit
            self._stop(self.failures >= self.checks)
            self.kayenta.minute(np.nanmean(theirs, axis=1), np.nanmean(ours, axis=1))
            self.window = []
