"""A rollout's plan in sentences, for approvals and for plan mode: stages, expected duration, the smallest harm that shows."""

from __future__ import annotations

import time

from include.lifecycle.rollout.estimate import Estimate, describe, estimate
from include.lifecycle.rollout.recent_traffic import recent_traffic
from include.lifecycle.rollout.states import Plan
from include.lifecycle.runtime import Runtime


def estimate_now(rt: Runtime, plan: Plan) -> Estimate:
    """What the plan takes and sees at the traffic of the gateway's log up to now."""
    log, now = rt.settings.gateway_log, time.time()
    return estimate(plan, recent_traffic(log, plan.model, plan.champion, give_up_after=plan.give_up_after, now=now))


def plan_sentences(plan: Plan, found: Estimate) -> list[str]:
    """One line each: version and strategy, then the estimate."""
    before = f"against champion {plan.champion}" if plan.champion is not None else "no champion before it: all traffic at once"
    return [f"Version {plan.version}, strategy {plan.strategy}, {before}.", *describe(found)]
