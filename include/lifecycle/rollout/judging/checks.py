"""The checks of a rollout: each looks at one kind of evidence and answers pass, fail or inconclusive. Pure.

Failing uses the plan's alpha (chance to roll back a good version), passing uses MISS_RATE (chance to let a bad step pass).
Formulas, sources and measured error rates: docs/rollout-analysis.md.
"""

from __future__ import annotations

import math
from typing import Any

from include.lifecycle.rollout.judging.experiment import check_experiment
from include.lifecycle.rollout.judging.harm import known_share
from include.lifecycle.rollout.judging.metric_checks import metric_checks
from include.lifecycle.rollout.judging.server_check import server_checks
from include.lifecycle.rollout.judging.shadow import check_agreement
from include.lifecycle.rollout.judging.shares import MISS_RATE, judge_errors, judge_share, unplanned_split, with_harm
from include.lifecycle.rollout.states import Measurement, Plan, Stage
from include.lifecycle.verdicts import Outcome, Verdict

__all__ = ["MISS_RATE", "bake_checks", "check_error_rate", "check_latency", "check_performance", "judge_share", "stage_checks"]

SLOW_SHARE = 0.05


def check_error_rate(plan: Plan, seen: Measurement, stage: Stage | None = None) -> Verdict:
    """Share of the challenger's requests that failed, got no answer in time, needed another attempt, or another version's answer.

    Fails above the hard limit, and when the safe test shows that the challenger fails more often than the arm beside it, by more
    than `limits.error_floor`.
    """
    test, limits = seen.error_test, plan.limits
    hard = judge_errors(plan, seen)
    unplanned = unplanned_split(test, known_share(stage))
    harm = ""
    if not unplanned and test.rejects(plan.alpha) and test.difference > limits.error_floor:
        (hits, total), (other_hits, other_total) = test.champion, test.challenger
        ours, theirs = f"{other_hits:.0f} of {other_total:.0f}", f"{hits:.0f} of {total:.0f}"
        harm = f"{ours} requests failed or got no answer, beside {theirs} in the same seconds"
    more: dict[str, Any] = {"difference": test.difference, "error_floor": limits.error_floor, "left": seen.left}
    more |= {"unplanned": unplanned} if unplanned else {}
    return with_harm(hard, harm, test.log_best, plan.alpha, more)


def latency_limit_us(plan: Plan, champion_p95_us: float) -> float:
    """Above this a challenger's request is slow: max(ratio x champion's p95, champion's p95 + floor), microseconds.

    The challenger's own p95 is above this limit exactly when more than 5 % of its requests are slow, so comparing two percentiles
    becomes a test of one proportion.
    """
    floor_us = plan.limits.latency_floor.total_seconds() * 1e6
    return max(plan.limits.latency_ratio * champion_p95_us, champion_p95_us + floor_us)


def check_latency(plan: Plan, seen: Measurement, stage: Stage | None = None) -> Verdict:
    """Share of slow requests against 5 %; slow is judged beside champion requests of the same moments (latency_limit_us).

    Fails above the hard limit, and when the safe tests show that the challenger is slower than the arm beside it by more than
    `limits.latency_floor`, at its median, p80 or p95 (harm.py).
    """
    hard = judge_share("latency", seen.slow, seen.timed, SLOW_SHARE, plan.alpha)
    tests = seen.latency_tests
    unplanned = next((why for test in tests.values() if (why := unplanned_split(test, known_share(stage)))), "")
    harm = ""
    if not unplanned and seen.latency_best >= -math.log(plan.alpha):
        harm = f"slower than the arm beside it by more than the floor: {_slow_shares(seen)}"
    more = {"champion_p95_us": seen.champion_p95_us, "limit_us": seen.limit_us, "slow_shares": _slow_shares(seen)}
    return with_harm(hard, harm, seen.latency_best, plan.alpha, more)


def _slow_shares(seen: Measurement) -> str:
    """What the latency tests counted, in words: `p95: 12 of 100 against 40 of 900`."""
    told = []
    for name, test in seen.latency_tests.items():
        (hits, total), (other_hits, other_total) = test.champion, test.challenger
        told.append(f"{name}: {other_hits:.0f} of {other_total:.0f} against {hits:.0f} of {total:.0f}")
    return ", ".join(told)


def check_performance(plan: Plan, seen: Measurement) -> Verdict:
    """Skill lost against the champion on matured labels; no labels yet is inconclusive, which does not hold a step back."""
    limit, found = plan.limits.performance_drop, seen.performance
    if found is None:
        reason = "no matured labels yet"
        return Verdict(check="performance", outcome=Outcome.INCONCLUSIVE, reason=reason, evidence={"limit": limit})
    outcome = Outcome.FAIL if found.drop_lower > limit else Outcome.PASS if found.drop_upper < limit else Outcome.INCONCLUSIVE
    reason = f"skill lost between {found.drop_lower:.1%} and {found.drop_upper:.1%} on {found.rows} rows; limit {limit:.0%}"
    return Verdict(check="performance", outcome=outcome, reason=reason, evidence=found.model_dump() | {"limit": limit})


def stage_checks(plan: Plan, stage: Stage, seen: Measurement) -> list[Verdict]:
    """All checks of one stage: hard limits and safe tests everywhere, beside them what the stage's kind adds.

    A shadow's errors and latency are those of its copies, which no client sees; its answers are compared pairwise where the stage
    asks for it. An experiment is judged by its own test, too.
    """
    always = [check_error_rate(plan, seen, stage), check_latency(plan, seen, stage)]
    measured = [*metric_checks(plan, seen), *server_checks(plan, seen)]
    if stage.kind == "mirror":
        paired = [check_agreement(plan, seen)] if "agreement" in stage.must_pass else []
        return [*always, *paired, *measured]
    special = [check_experiment(plan, seen)] if stage.kind == "ab_test" else []
    return [*always, check_performance(plan, seen), *special, *measured]


def bake_checks(plan: Plan, seen: Measurement) -> list[Verdict]:
    """Checks of the bake. Latency is not judged: the champion has no traffic in the same minutes to compare with.

    A challenger that breaks down under the full load shows as errors: attempts that time out or fail over count as such.
    """
    return [check_error_rate(plan, seen), check_performance(plan, seen), *metric_checks(plan, seen), *server_checks(plan, seen)]
