"""The checks of a rollout: each looks at one kind of evidence and answers pass, fail or inconclusive. Pure.

Failing uses the plan's alpha (chance to roll back a good version), passing uses MISS_RATE (chance to let a bad step pass).
"""

from __future__ import annotations

from include.lifecycle.rollout.experiment import check_experiment
from include.lifecycle.rollout.shadow import check_agreement
from include.lifecycle.rollout.states import Measurement, Plan, Stage
from include.lifecycle.statistics.sequential import proportion_interval
from include.lifecycle.verdicts import Outcome, Verdict

MISS_RATE = 0.05
SLOW_SHARE = 0.05


def judge_share(check: str, hits: int, total: int, limit: float, alpha: float) -> Verdict:
    """Judge a share against `limit` by its confidence sequence: lower bound above fails, upper bound below passes.

    A fail is wrong with probability at most `alpha` over the whole stream, a pass with at most MISS_RATE.
    """
    lower = proportion_interval(hits, total, alpha)[0]
    upper = proportion_interval(hits, total, MISS_RATE)[1]
    outcome = Outcome.FAIL if lower > limit else Outcome.PASS if upper < limit else Outcome.INCONCLUSIVE
    evidence = {"hits": hits, "total": total, "lower": lower, "upper": upper, "limit": limit, "alpha": alpha}
    share = f"{hits} of {total} requests" if total else "no requests yet"
    return Verdict(check=check, outcome=outcome, reason=f"{share}; limit {limit:.1%}, lower bound {lower:.2%}", evidence=evidence)


def check_error_rate(plan: Plan, seen: Measurement) -> Verdict:
    """Share of the challenger's requests that failed, needed another attempt, or were answered by another version."""
    return judge_share("error_rate", seen.errors, seen.requests, plan.limits.error_rate, plan.alpha)


def latency_limit_us(plan: Plan, champion_p95_us: float) -> float:
    """Above this a challenger's request is slow: max(ratio x champion's p95, champion's p95 + floor), microseconds.

    The challenger's own p95 is above this limit exactly when more than 5 % of its requests are slow, so comparing two percentiles
    becomes a test of one proportion.
    """
    floor_us = plan.limits.latency_floor.total_seconds() * 1e6
    return max(plan.limits.latency_ratio * champion_p95_us, champion_p95_us + floor_us)


def check_latency(plan: Plan, seen: Measurement) -> Verdict:
    """Share of slow requests against 5 %; slow is judged beside champion requests of the same moments (latency_limit_us)."""
    verdict = judge_share("latency", seen.slow, seen.timed, SLOW_SHARE, plan.alpha)
    more = {"champion_p95_us": seen.champion_p95_us, "limit_us": seen.limit_us}
    return verdict.model_copy(update={"evidence": verdict.evidence | more})


def check_performance(plan: Plan, seen: Measurement) -> Verdict:
    """Skill lost against the champion on matured labels; no labels yet is inconclusive, which does not hold a step back."""
    limit, found = plan.limits.performance_drop, seen.performance
    if found is None:
        reason = "no matured labels yet"
        return Verdict(check="performance", outcome=Outcome.INCONCLUSIVE, reason=reason, evidence={"limit": limit})
    outcome = Outcome.FAIL if found.drop_lower > limit else Outcome.PASS if found.drop_upper < limit else Outcome.INCONCLUSIVE
    reason = f"skill lost between {found.drop_lower:.1%} and {found.drop_upper:.1%} on {found.rows} rows; limit {limit:.0%}"
    return Verdict(check="performance", outcome=outcome, reason=reason, evidence=found.model_dump() | {"limit": limit})


def step_checks(plan: Plan, seen: Measurement) -> list[Verdict]:
    """All checks of a step, where both arms have traffic."""
    return [check_error_rate(plan, seen), check_latency(plan, seen), check_performance(plan, seen)]


def stage_checks(plan: Plan, stage: Stage, seen: Measurement) -> list[Verdict]:
    """All checks of one stage; a shadow is compared pairwise, an experiment is judged by its own test."""
    if stage.kind == "mirror":
        paired = [check_agreement(plan, seen)] if "agreement" in stage.must_pass else []
        return [check_error_rate(plan, seen), check_latency(plan, seen), *paired]
    if stage.kind == "ab_test":
        return [*step_checks(plan, seen), check_experiment(plan, seen)]
    return step_checks(plan, seen)


def bake_checks(plan: Plan, seen: Measurement) -> list[Verdict]:
    """Checks of the bake. Latency is not judged: the champion has no traffic in the same minutes to compare with.

    A challenger that breaks down under the full load shows as errors: attempts that time out or fail over count as such.
    """
    return [check_error_rate(plan, seen), check_performance(plan, seen)]
