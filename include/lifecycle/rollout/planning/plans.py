"""Spec, versions and recent traffic -> the plan of a rollout, with its estimate. Pure; planning.py stores it."""

from __future__ import annotations

from include.lifecycle.rollout.planning.by_hand import ByHand, with_steps
from include.lifecycle.rollout.planning.estimate import estimate
from include.lifecycle.rollout.planning.recent_traffic import RecentTraffic
from include.lifecycle.rollout.states import Plan, Strategy
from include.lifecycle.rollout.strategies import stages_of
from include.lifecycle.spec import ModelSpec


def make_plan(
    spec: ModelSpec,
    version: int,
    champion: int | None,
    traffic: RecentTraffic,
    *,
    requesters: list[str] | None = None,
    by_hand: ByHand | None = None,
) -> Plan:
    """What is agreed for the rollout of `version`; without a champion it goes direct, whatever the strategy.

    `plan.estimate` says how long it will take and what it can see; its `problem` is why it cannot end in time, if so.
    Raises GateFailedError when steps were given by hand to another strategy than canary.
    """
    rules = spec.rollout
    strategy: Strategy = "direct" if champion is None else rules.strategy
    if by_hand is not None and champion is not None:
        rules = with_steps(rules, by_hand)
    own = {
        "model": spec.name,
        "version": version,
        "champion": champion,
        "strategy": strategy,
        "stages": stages_of(strategy, rules, spec.server.replicas),
        "replicas": spec.server.replicas,
        "shadow": rules.shadow if strategy == "shadow" else None,
        "ab_test": rules.ab_test if strategy in ("ab_test", "aa_test") else None,
        "approval_timeout": spec.approval.expires,
        "metric": spec.objective.metric,
        "objective": spec.objective,
        "risk": spec.risk,
        "requested_by": requesters or [],
        "spec_hash": spec.digest,
    }
    plan = Plan.model_validate({name: getattr(rules, name) for name in Plan.model_fields if hasattr(rules, name)} | own)
    return plan.model_copy(update={"estimate": estimate(plan, traffic)})


def in_short(plan: Plan) -> str:
    """The plan in one line: versions, strategy and shares."""
    if not plan.stages:
        before = "no champion before it" if plan.champion is None else f"champion is version {plan.champion}"
        return f"version {plan.version} gets all traffic at once ({before})"
    shares = " > ".join(stage.share for stage in plan.stages)
    return f"version {plan.version} against champion {plan.champion} ({plan.strategy}): {shares} > 100 %"
