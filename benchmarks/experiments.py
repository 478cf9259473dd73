"""A/B statistics: hardly any A/A test that is looked at all the time finds a winner; a real difference costs few samples more.

Streams of users, independent and coming back with a daily rhythm; the peer is Welch's t-test at 5 %, looked at just as often.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Bench, Claim
from include.lifecycle.statistics.difference import arm_of, mean_difference_bounds, means_by_unit, sample_ratio_p_value

SIZES = {"tests": 400, "users": 20_000, "clustered_tests": 200, "clustered_users": 2_000, "looks": 60}
TINY = {"tests": 20, "users": 2_000, "clustered_tests": 5, "clustered_users": 600, "looks": 10}
ALPHA, MINIMUM, LEVEL = 0.05, 1000, 0.001
_RATE, _LIFT = 0.80, 0.05

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]
STREAMS: dict[str, Draw] = {
    "half": lambda rng, n: (rng.random(n) < 0.5).astype(np.float64),
    "rare": lambda rng, n: (rng.random(n) < 0.01).astype(np.float64),
    "money": lambda rng, n: (rng.random(n) < 0.05) * np.exp(rng.normal(0, 1, n)),
}


def run(bench: Bench) -> list[Claim]:
    """False winners over all streams and splits, the price in samples, and false alarms of the split's test."""
    sizes, rng = bench.sizes, np.random.default_rng(20130101)
    found: dict[str, dict[str, float]] = {}
    for split in (0.1, 0.5):
        for name, draw in STREAMS.items():
            found[f"{name}, {split:.0%}"] = _independent(rng, draw, split, sizes["tests"], sizes["users"], sizes["looks"])
            bench.say(f"A/A {name} {split}: {found[f'{name}, {split:.0%}']}")
    found["returning users, 50%"] = _returning(rng, sizes["clustered_tests"], sizes["clustered_users"], sizes["looks"])
    bench.say(f"A/A returning users: {found['returning users, 50%']}")
    ours, peer = (max(one[side] for one in found.values()) for side in ("ours", "peer"))
    needed, fixed = _needed(rng, max(20, sizes["tests"] // 5), sizes["users"]), _fixed()
    alarms = _alarms(rng, sizes["tests"], sizes["users"], sizes["looks"])
    return [
        Claim("ab_false_winners", ours, peer, "of A/A tests", ours, ALPHA, "at_most", {"streams": found}),
        Claim("ab_samples", needed, fixed, "samples per arm", needed / fixed, 2.0, "at_most", {"rate": _RATE, "lift": _LIFT}),
        Claim("ab_split_alarms", alarms, None, "of sound splits", alarms, 3 * LEVEL, "at_most", {"level": LEVEL}),
    ]


def _looks(last: int, looks: int, first: int) -> NDArray[np.int64]:
    return np.unique(np.geomspace(first, last, looks).astype(np.int64))


def _differs(ours: Floats, theirs: Floats, best_at: float) -> tuple[bool, bool]:
    """Whether the bounds, and whether Welch's test, call two arms different."""
    from scipy.special import stdtr

    one, other = arm_of(ours), arm_of(theirs)
    lower, upper = mean_difference_bounds(one, other, ALPHA, best_at)
    parts = [arm.variance / max(1, arm.samples) for arm in (one, other)]
    if sum(parts) <= 0 or min(one.samples, other.samples) < 2:
        return lower > 0 or upper < 0, False
    freedom = sum(parts) ** 2 / sum(part**2 / (arm.samples - 1) for part, arm in zip(parts, (one, other), strict=True))
    p_value = 2 * float(stdtr(freedom, -abs(one.mean - other.mean) / math.sqrt(sum(parts))))
    return lower > 0 or upper < 0, p_value < ALPHA


def _independent(rng: np.random.Generator, draw: Draw, split: float, tests: int, users: int, looks: int) -> dict[str, float]:
    wrong = np.zeros(2)
    for _ in range(tests):
        values, challenger = draw(rng, users), rng.random(users) < split
        told = np.zeros(2, dtype=bool)
        for look in _looks(users, looks, min(users, round(200 / split))):
            now, arm = values[:look], challenger[:look]
            told |= _differs(now[arm], now[~arm], MINIMUM / split)
        wrong += told
    return {"ours": float(wrong[0] / tests), "peer": float(wrong[1] / tests)}


def _returning(rng: np.random.Generator, tests: int, users: int, looks: int) -> dict[str, float]:
    """Users with a rate of their own that moves with the hour come back; the peer counts rows, as a plain split test does."""
    wrong, rows = np.zeros(2), 15 * users
    for _ in range(tests):
        rate, weight, arm = rng.beta(1, 1, users), rng.exponential(1, users), rng.random(users) < 0.5
        who = rng.choice(users, rows, p=weight / weight.sum())
        rhythm = 0.1 * np.sin(np.linspace(0, 14 * np.pi, rows))  # seven days
        values = (rng.random(rows) < np.clip(rate[who] + rhythm, 0, 1)).astype(np.float64)
        told = np.zeros(2, dtype=bool)
        for look in _looks(rows, looks, users // 2):
            codes, now = who[:look], values[:look]
            means = means_by_unit(now, codes, users)
            known = np.isfinite(means)
            told[0] |= _differs(means[known & arm], means[known & ~arm], 2 * MINIMUM)[0]
            told[1] |= _differs(now[arm[codes]], now[~arm[codes]], 2 * MINIMUM)[1]
        wrong += told
    return {"ours": float(wrong[0] / tests), "peer": float(wrong[1] / tests)}


def _needed(rng: np.random.Generator, tests: int, users: int) -> float:
    """Median samples per arm at which the bounds leave 0 behind, for +5 points on 80 %, looked at every 100 users."""
    found = []
    for _ in range(tests):
        arm = rng.random(users) < 0.5
        values = (rng.random(users) < np.where(arm, _RATE + _LIFT, _RATE)).astype(np.float64)
        looks = range(200, users + 1, 100)
        at = (one for one in looks if _lower(values[:one], arm[:one]) > 0)
        found.append(next(at, users) / 2)
    return float(np.median(found))


def _lower(values: Floats, arm: NDArray[np.bool_]) -> float:
    return mean_difference_bounds(arm_of(values[arm]), arm_of(values[~arm]), ALPHA, 2 * MINIMUM)[0]


def _fixed() -> float:
    """Samples per arm of a test that is looked at once, with power 80 % (normal approximation)."""
    from scipy.stats import norm

    spread = _RATE * (1 - _RATE) + (_RATE + _LIFT) * (1 - _RATE - _LIFT)
    return math.ceil((norm.isf(ALPHA / 2) + norm.isf(0.2)) ** 2 * spread / _LIFT**2)


def _alarms(rng: np.random.Generator, tests: int, users: int, looks: int) -> float:
    """Share of sound splits at 10 % that are ever called broken."""
    wrong = 0
    for _ in range(tests):
        hits = np.cumsum(rng.random(users) < 0.1)
        counts = ((int(hits[look - 1]), int(look - hits[look - 1])) for look in _looks(users, looks, 100))
        wrong += any(sample_ratio_p_value(one, (0.1, 0.9)) < LEVEL for one in counts)
    return wrong / tests
