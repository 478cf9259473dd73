"""A rollout's plan in sentences, for approvals and plan mode: stages, expected duration, the smallest visible harm. Pure."""

from __future__ import annotations

from include.lifecycle.rollout.planning.estimate import describe
from include.lifecycle.rollout.states import Plan
from include.lifecycle.rollout.telling.phrases import stage_told


def plan_sentences(plan: Plan) -> list[str]:
    """One line each: version and strategy, then the estimate that was made with the plan."""
    before = f"against champion {plan.champion}" if plan.champion is not None else "no champion before it: all traffic at once"
    bare = [f"Stage {number}, {stage_told(stage)}." for number, stage in enumerate(plan.stages, 1)]
    estimated = describe(plan.estimate) if plan.estimate is not None else bare
    return [f"Version {plan.version}, strategy {plan.strategy}, {before}.", *estimated]
