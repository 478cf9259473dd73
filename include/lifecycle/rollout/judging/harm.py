"""Feeds the safe tests of a rollout: new requests of both arms, second by second, and what counts as slow beside the champion.

measurements.py calls it at each look; checks.py judges the tests. Everything here is pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from include.lifecycle.rollout.evidence import Measurement
from include.lifecycle.rollout.gateway.access_log import Request
from include.lifecycle.rollout.states import Plan, Stage
from include.lifecycle.statistics.safe_test import SafeTest

QUANTILES = {"p50": 50, "p80": 80, "p95": 95}
"""Of the champion's own recent durations: a shift of all answers shows at the median, a factor at p80, a longer tail at p95."""

Hit = Callable[[Request], bool]
Block = tuple[float, float, float, float]


def known_share(stage: Stage | None) -> float | None:
    """Probability with which a request of the two compared arms is the challenger's; None where keys or copies decide it."""
    if stage is None or stage.kind != "split":
        return None
    beside = stage.baseline or 100 - stage.percent
    return stage.percent / (stage.percent + beside) if stage.percent and beside else None


def compare_errors(test: SafeTest, beside: Sequence[Request], challenger: Sequence[Request], share: float | None) -> SafeTest:
    """The test of failures after these requests; `beside` are the champion's, or the concurrent baseline's.

    A request without an answer counts as well, however soon its client left: clients leave both arms for reasons of their own.
    """
    for block in blocks(beside, challenger, _lost, _lost):
        test = test.after(block[:2], block[2:], share)
    return test


def compare_latency(
    plan: Plan,
    seen: Measurement,
    recent: Sequence[int],
    beside: Sequence[Request],
    challenger: Sequence[Request],
    share: float | None,
) -> dict[str, Any]:
    """Fields `latency_tests` and `latency_best` after these requests.

    For each quantile t of the champion's `recent` durations, all from before these requests: a champion's request is slow above
    t, a challenger's above t + latency_floor. A challenger that is at most `latency_floor` slower than the champion at every
    quantile has no larger share of slow ones, whatever the load does to both: so this is the 2x2 test again, for any past t.
    A request whose client left counts by the time that it was under way, in both arms: no answer is quicker than that.
    The mean of the e-values is an e-value (Vovk and Wang 2021, "E-values: calibration, combination and applications").
    """
    floor_us = plan.limits.latency_floor.total_seconds() * 1e6
    tests, best = dict(seen.latency_tests), seen.latency_best
    marks = {name: float(np.percentile(recent, rank)) for name, rank in QUANTILES.items()}
    found = {name: blocks(beside, challenger, _above(mark), _above(mark + floor_us)) for name, mark in marks.items()}
    for together in zip(*found.values(), strict=True):
        for name, block in zip(found, together, strict=True):
            tests[name] = tests.get(name, SafeTest()).after(block[:2], block[2:], share)
        best = max(best, mean_log_e(list(tests.values())))
    return {"latency_tests": tests, "latency_best": best}


def mean_log_e(tests: Sequence[SafeTest]) -> float:
    """Logarithm of the mean e-value of these tests."""
    logs = [test.log_e for test in tests]
    top = max(logs)
    return top + math.log(sum(math.exp(one - top) for one in logs) / len(logs))


def blocks(beside: Sequence[Request], challenger: Sequence[Request], slow: Hit, challenger_slow: Hit) -> list[Block]:
    """(hits, total) of both arms for each second in which a request arrived, in order.

    Within a second both arms meet the same load, shocks included; hits of one arm in the same second count as one burst.
    """
    found: dict[int, list[float]] = {}
    for requests, hit, at in ((beside, slow, 0), (challenger, challenger_slow, 2)):
        for one in requests:
            block = found.setdefault(int(one.at), [0.0, 0.0, 0.0, 0.0])
            block[at] += hit(one)
            block[at + 1] += 1
    return [(one[0], one[1], one[2], one[3]) for _, one in sorted(found.items())]


def _lost(one: Request) -> bool:
    return one.failed or not one.answered


def _above(mark: float) -> Hit:
    return lambda one: one.duration_us is not None and one.duration_us > mark
