"""Checks of what stands outside the access log: the share of positive decisions, and the user's own metrics. Pure."""

from __future__ import annotations

from include.lifecycle.rollout.evidence import Measurement
from include.lifecycle.rollout.judging.shares import MISS_RATE
from include.lifecycle.rollout.states import Plan
from include.lifecycle.sections.rollout_metrics import MetricSection
from include.lifecycle.statistics.sequential import proportion_interval
from include.lifecycle.verdicts import Outcome, Verdict


def metric_checks(plan: Plan, seen: Measurement) -> list[Verdict]:
    """The action rate, if it has a limit, and every metric of `rollout.metrics`."""
    action = [] if plan.limits.action_rate_change is None else [check_action_rate(plan, seen)]
    return [*action, *(check_metric(metric, seen) for metric in plan.metrics)]


def check_metric(metric: MetricSection, seen: Measurement) -> Verdict:
    """Fails when the last `readings` values in a row break the limit; passes on one that keeps it. No value is inconclusive."""
    check, found = f"metric:{metric.name}", seen.metrics.get(metric.name)
    sign = "<=" if metric.direction == "at_most" else ">="
    if found is None or found.value is None:
        why = "not read yet" if found is None else found.problem or "the query gives no value"
        evidence = {"limit": metric.limit, "direction": metric.direction}
        return Verdict(check=check, outcome=Outcome.INCONCLUSIVE, reason=why, evidence=evidence)
    broken = found.broken
    outcome = Outcome.FAIL if broken >= metric.readings else Outcome.INCONCLUSIVE if broken else Outcome.PASS
    told = f"{found.value:g}, wanted {sign} {metric.limit:g}" + (f"; broken {broken} times in a row" if broken else "")
    evidence = found.model_dump() | {"limit": metric.limit, "direction": metric.direction}
    return Verdict(check=check, outcome=outcome, reason=told, evidence=evidence)


def breaks(metric: MetricSection, value: float) -> bool:
    """Whether a value lies on the wrong side of the metric's limit."""
    return value > metric.limit if metric.direction == "at_most" else value < metric.limit


def check_action_rate(plan: Plan, seen: Measurement) -> Verdict:
    """Change of the share of positive decisions against the champion in the same minutes, in either direction.

    Time-uniform bounds of both shares (statistics/sequential.py), each at half the level: a difference that is surely above
    `limits.action_rate_change` fails, one that is surely below it passes. A challenger may decide otherwise than the champion, it
    is there for that: the check is off unless the YAML sets a limit.
    """
    limit, found = plan.limits.action_rate_change or 0.0, seen.actions
    if found is None or not found.rows or not found.champion_rows:
        why = seen.silent.get("predictions", "no predictions of both versions in the same minutes yet")
        return Verdict(check="action_rate", outcome=Outcome.INCONCLUSIVE, reason=why, evidence={"limit": limit})
    ours, theirs = (found.positive, found.rows), (found.champion_positive, found.champion_rows)
    surely, at_most = _smallest(ours, theirs, plan.alpha), _largest(ours, theirs, MISS_RATE)
    outcome = Outcome.FAIL if surely > limit else Outcome.PASS if at_most < limit else Outcome.INCONCLUSIVE
    rate, champion_rate = found.positive / found.rows, found.champion_positive / found.champion_rows
    told = f"{rate:.1%} of {found.rows} decisions are positive, the champion's {champion_rate:.1%} of {found.champion_rows}"
    evidence = found.model_dump() | {"smallest_change": surely, "largest_change": at_most, "limit": limit}
    return Verdict(check="action_rate", outcome=outcome, reason=f"{told}; change limit {limit:.1%}", evidence=evidence)


def _smallest(ours: tuple[int, int], theirs: tuple[int, int], alpha: float) -> float:
    (low, high), (other_low, other_high) = (proportion_interval(*one, alpha / 2) for one in (ours, theirs))
    return max(low - other_high, other_low - high, 0.0)


def _largest(ours: tuple[int, int], theirs: tuple[int, int], alpha: float) -> float:
    (low, high), (other_low, other_high) = (proportion_interval(*one, alpha / 2) for one in (ours, theirs))
    return max(high - other_low, other_high - low)
