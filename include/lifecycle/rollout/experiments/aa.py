"""Opens an A/A test: the champion's version twice, the second time as baseline arm. Whatever differs then is noise or a fault.

It needs no candidate and promotes nothing; the same driver walks it, the same measuring judges it.
"""

from __future__ import annotations

import time

from sqlalchemy import Connection, select

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.results import PlannedRollout, RolloutOutcome
from include.lifecycle.rollout.hands import Hands, usual_hands
from include.lifecycle.rollout.judging.experiment import CHECK
from include.lifecycle.rollout.lease import open_rollout
from include.lifecycle.rollout.planning.estimate import estimate
from include.lifecycle.rollout.planning.opening import open_planned
from include.lifecycle.rollout.planning.plans import make_plan
from include.lifecycle.rollout.planning.recent_traffic import RecentTraffic, recent_traffic
from include.lifecycle.rollout.states import Plan, State
from include.lifecycle.rollout.strategies import stages_of
from include.lifecycle.rollout.ways_back.freezing import frozen_reason
from include.lifecycle.rollout.ways_back.rollback_notes import under_way
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import rollouts
from include.lifecycle.verdicts import Outcome


def plan_aa_test(spec: ModelSpec, rt: Runtime, run: RunContext, *, reason: str, hands: Hands | None = None) -> PlannedRollout:
    """Open an A/A test of the champion by `rollout.ab_test` for this run; the same run again gets the same one.

    `rollout_id` is None, with the reason, when there is no champion, another rollout is open, the model is frozen, a rollback is
    under way, or the test cannot get its samples in time at the model's traffic.
    Raises SourceUnavailableError when MLflow or the database does not answer.
    """
    used = hands or usual_hands(rt)
    log, patience = rt.settings.gateway_log, spec.rollout.give_up_after
    traffic = recent_traffic(log, spec.name, used.champion_of(rt, spec.name), give_up_after=patience, now=time.time())
    with transaction(rt.engine) as connection:
        lock_model(connection, spec.name)
        champion = used.champion_of(rt, spec.name)
        mine = (rollouts.c.model == spec.name) & (rollouts.c.run_id == run.run_id)
        row = connection.execute(select(rollouts.c.id, rollouts.c.reason).where(mine)).mappings().first()
        if row is not None:
            return _planned(spec.name, row["id"], champion, row["reason"])
        if champion is None:
            return _planned(spec.name, None, None, "there is no champion to compare with itself")
        if (other := open_rollout(connection, spec.name)) is not None:
            return _planned(spec.name, None, champion, f"rollout {other['id']} is open ({other['state']})")
        frozen = frozen_reason(connection, spec.name)
        if waits := f"frozen: {frozen}" if frozen else under_way(connection, spec.name):
            return _planned(spec.name, None, champion, waits)
        plan = aa_plan(spec, champion, traffic)
        if plan.estimate is not None and plan.estimate.problem:
            return _planned(spec.name, None, champion, plan.estimate.problem)
        return _open(connection, rt, run, plan, reason)


def passed_aa_test(rt: Runtime, outcome: RolloutOutcome) -> bool:
    """Whether the test was concluded with a check `experiment` that passed and none that failed, by its end's ledger entry."""
    entries = rt.ledger.read(outcome.model, kind="rollout")
    mine = f"rollout:{outcome.rollout_id}:"
    ended = (one for one in entries if one["act"] == "conclude" and str(one["idempotency_key"]).startswith(mine))
    last = next(ended, None)
    judged = {one["check"]: one["outcome"] for one in (last["evidence"].get("verdicts", []) if last else [])}
    return outcome.state == State.CONCLUDED and judged.get(CHECK) == Outcome.PASS and Outcome.FAIL not in judged.values()


def aa_plan(spec: ModelSpec, champion: int, traffic: RecentTraffic) -> Plan:
    """What is agreed for an A/A test of `champion`."""
    rules = spec.rollout.model_copy(update={"strategy": "ab_test"})
    made = make_plan(spec.model_copy(update={"rollout": rules}), champion, champion, traffic)
    plan = made.model_copy(update={"strategy": "aa_test", "stages": stages_of("aa_test", rules, spec.server.replicas)})
    return plan.model_copy(update={"estimate": estimate(plan, traffic)})


def _open(connection: Connection, rt: Runtime, run: RunContext, plan: Plan, reason: str) -> PlannedRollout:
    told = f"A/A test of version {plan.version}: {plan.stages[0].baseline} % of the keys to a second server of it; {reason}"
    row = open_planned(connection, rt, run, plan, act="plan A/A test", reason=told)
    return _planned(plan.model, row["id"], plan.champion, told)


def _planned(model: str, rollout_id: int | None, champion: int | None, reason: str) -> PlannedRollout:
    return PlannedRollout(
        rollout_id=rollout_id, model=model, version=champion, champion=champion, strategy="aa_test", reason=reason
    )
