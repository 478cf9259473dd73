"""The smallest harm that a planned rollout's tests find with power 80 % at the model's traffic. Pure; part of the estimate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from include.lifecycle.rollout.evidence import Plain
from include.lifecycle.statistics.safe_test import ODDS, STAKES

if TYPE_CHECKING:
    from include.lifecycle.rollout.planning.recent_traffic import RecentTraffic
    from include.lifecycle.rollout.states import Plan, Stage

POWER = 0.80
_Z = 0.8416  # standard normal quantile of POWER
_SLOW = 0.05  # share of the champion's requests above its own p95
_FEWEST_TIMES = 200  # champion requests; fewer say nothing about the tail of its latencies
_USUAL_ERRORS = 0.01  # of a champion whose errors nobody counted


class Harm(Plain):
    """Power 80 % at level `alpha`: from this rise of the error rate (a fraction, above `base`), and this factor on latency, on.

    `requests` are the challenger's in the stage that sees best; None where nothing that small shows, or nothing is known.
    """

    alpha: float
    requests: int = 0
    base: float = _USUAL_ERRORS
    base_known: bool = False
    rise: float | None = None
    latency_factor: float | None = None

    @property
    def told(self) -> str:
        """The harm in one sentence."""
        if self.rise is None:
            return "No stage compares live requests, so small harm shows in the bake only."
        base = f"above {self.base:.1%}" if self.base_known else f"above an assumed {self.base:.0%}"
        slow = "" if self.latency_factor is None else f", or latency {self.latency_factor:.2g} times the champion's"
        return (
            f"Smallest harm that it finds with power {POWER:.0%} (level {self.alpha:.2g}, {self.requests} challenger requests): "
            f"errors {100 * self.rise:.2g} points {base}{slow}."
        )


def visible_harm(plan: Plan, traffic: RecentTraffic, lasting: Sequence[timedelta]) -> Harm:
    """The smallest harm that one of the plan's stages shows; stages take as long as `lasting` says, one duration each."""
    known = traffic.champion_requests >= 1
    base = (traffic.champion_errors + 0.5) / (traffic.champion_requests + 1) if known else _USUAL_ERRORS
    best = Harm(alpha=plan.alpha, base=base, base_known=known)
    for stage, duration in zip(plan.stages, lasting, strict=True):
        ours, theirs = _requests(stage, traffic.per_second, duration)
        if ours == 0:
            continue
        rise = smallest_rise(base, ours, theirs, plan.alpha)
        rise = rise if rise is None else max(rise, plan.limits.error_floor)
        if rise is not None and (best.rise is None or rise < best.rise):
            factor = _latency_factor(plan, traffic, smallest_rise(_SLOW, ours, theirs, plan.alpha))
            best = best.model_copy(update={"requests": ours, "rise": rise, "latency_factor": factor})
    return best


def smallest_rise(base: float, ours: int, theirs: int, alpha: float) -> float | None:
    """Smallest rise of a share above `base` that the safe test (statistics/safe_test.py) finds with power 80 % at level `alpha`.

    `ours` and `theirs` are the requests of challenger and champion; None when not even a share of 1 is found. Approximation: the
    log of the capital on one alternative is a sum of independent terms, taken as normal; it must pass log(1 / alpha) by 0.84
    standard deviations at the end. The champion's share counts as known, and that a test may stop on the way is left out, so the
    real power is a little higher; a test checks it by simulation.
    """
    low, high = base, 1.0 - 1e-9
    if not _found(base, high, ours, theirs, alpha):
        return None
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if _found(base, middle, ours, theirs, alpha) else (middle, high)
    return high - base


def _found(base: float, share: float, ours: int, theirs: int, alpha: float) -> bool:
    """Whether one of the test's alternatives grows past 1 / alpha when the challenger's share of hits is `share`."""
    odds = np.array(ODDS) * base / (1 - base)
    bet = odds / (1 + odds)
    mean = (ours * bet + theirs * base) / (ours + theirs)
    hit, miss = np.log(bet / mean), np.log((1 - bet) / (1 - mean))
    their_hit, their_miss = np.log(base / mean), np.log((1 - base) / (1 - mean))
    grown = ours * (share * hit + (1 - share) * miss) + theirs * (base * their_hit + (1 - base) * their_miss)
    spread = ours * share * (1 - share) * (hit - miss) ** 2 + theirs * base * (1 - base) * (their_hit - their_miss) ** 2
    return bool(np.any(np.log(STAKES) + grown - _Z * np.sqrt(spread) >= math.log(1 / alpha)))


def _requests(stage: Stage, per_second: float | None, duration: timedelta) -> tuple[int, int]:
    """Requests of the challenger and of the arm beside it in so long a stage; copied requests have no client to fail."""
    share = stage.percent / 100
    if stage.percent in (0, 100):
        return 0, 0
    ours = max(stage.requests, int((per_second or 0) * share * duration.total_seconds()))
    beside = stage.baseline or 100 - stage.percent
    return ours, round(ours * beside / stage.percent)


def _latency_factor(plan: Plan, traffic: RecentTraffic, rise: float | None) -> float | None:
    """By what all latencies must grow for `rise` more requests to lie above the champion's p95, and to pass the floor."""
    times = traffic.latencies_us
    if rise is None or len(times) < _FEWEST_TIMES or rise + _SLOW >= 1:
        return None
    p95, at = (times[min(len(times) - 1, int(share * len(times)))] for share in (1 - _SLOW, 1 - _SLOW - rise))
    if at <= 0:
        return None
    return max(p95 / at, 1 + plan.limits.latency_floor.total_seconds() * 1e6 / p95)
