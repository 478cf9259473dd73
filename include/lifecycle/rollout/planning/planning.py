"""Opens a rollout: claims the newest candidate and writes the rollouts row with everything that was agreed.

First stage of a deploy Dag. One open rollout per model; a version without a champion before it goes direct.
"""

from __future__ import annotations

import time

from sqlalchemy import Connection, RowMapping, select

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.ledger import Entry
from include.lifecycle.results import PlannedRollout
from include.lifecycle.rollout.hands import Hands, usual_hands
from include.lifecycle.rollout.lease import open_rollout
from include.lifecycle.rollout.planning.by_hand import ByHand
from include.lifecycle.rollout.planning.estimate import describe
from include.lifecycle.rollout.planning.opening import open_planned
from include.lifecycle.rollout.planning.plans import in_short, make_plan
from include.lifecycle.rollout.planning.recent_traffic import RecentTraffic, recent_traffic
from include.lifecycle.rollout.planning.recheck import is_stale, recheck_candidates
from include.lifecycle.rollout.states import Plan
from include.lifecycle.rollout.ways_back.freezing import frozen_reason
from include.lifecycle.rollout.ways_back.rollback_notes import under_way
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import candidates, rollouts, training_requests
from include.lifecycle.verdicts import Outcome


def plan_rollout(
    spec: ModelSpec, rt: Runtime, run: RunContext, *, by_hand: ByHand | None = None, hands: Hands | None = None
) -> PlannedRollout:
    """Claim the newest open candidate for this run; older open ones are superseded. The same run again gets the same rollout.

    A candidate that was judged against another champion is judged again first (recheck.py).
    `by_hand`: a canary's steps that a person gave to this run. `rollout_id` is None, with the reason, when there is no candidate
    or another rollout is open (the candidate then stays open), or the plan is refused: it cannot end in time at the model's
    traffic, and the candidate is held until somebody changes the YAML and releases it.
    Raises SourceUnavailableError when MLflow or the database does not answer.
    """
    used = hands or usual_hands(rt)
    recheck_candidates(spec, rt, run, used)
    traffic = traffic_of(spec, rt, used.champion_of(rt, spec.name))
    with transaction(rt.engine) as connection:
        lock_model(connection, spec.name)
        champion = used.champion_of(rt, spec.name)  # under the lock: whoever moves the alias holds it too
        mine = (rollouts.c.model == spec.name) & (rollouts.c.run_id == run.run_id)
        if (row := connection.execute(select(rollouts).where(mine)).mappings().first()) is not None:
            return _planned(row)
        if reason := _not_now(connection, spec.name, champion):
            return PlannedRollout(rollout_id=None, model=spec.name, reason=reason)
        candidate = _claim_newest(connection, rt, spec.name, champion)
        if candidate is None:
            return PlannedRollout(rollout_id=None, model=spec.name, reason="no candidate waits")
        asked_by = requesters_of(connection, spec.name, candidate["run_id"])
        if by_hand is not None:  # who chose the steps may not approve them either
            asked_by = list(dict.fromkeys([*asked_by, by_hand.by]))
        plan = make_plan(spec, candidate["version"], champion, traffic, requesters=asked_by, by_hand=by_hand)
        if plan.estimate is not None and plan.estimate.problem:
            return _refuse(connection, rt, run, candidate, plan)
        return _open(connection, rt, run, candidate, plan, by_hand)


def traffic_of(spec: ModelSpec, rt: Runtime, champion: int | None) -> RecentTraffic:
    """The model's live requests of the last day, from the gateway's access log."""
    give_up_after = spec.rollout.give_up_after
    return recent_traffic(rt.settings.gateway_log, spec.name, champion, give_up_after=give_up_after, now=time.time())


def _not_now(connection: Connection, model: str, champion: int | None) -> str:
    """Why no rollout may be planned now; the candidate then stays open."""
    if (other := open_rollout(connection, model)) is not None:
        return f"rollout {other['id']} is open ({other['state']})"
    if reason := frozen_reason(connection, model) or under_way(connection, model):
        return reason
    if (newest := newest_open(connection, model)) is not None and is_stale(newest, champion):
        return f"the champion became version {champion} while version {newest['version']} was judged; it stays open"
    return ""


def newest_open(connection: Connection, model: str) -> RowMapping | None:
    """The open candidate with the highest version, or None."""
    mine = (candidates.c.model == model) & (candidates.c.state == "open")
    return connection.execute(select(candidates).where(mine).order_by(candidates.c.version.desc()).limit(1)).mappings().first()


def _claim_newest(connection: Connection, rt: Runtime, model: str, champion: int | None) -> RowMapping | None:
    """The newest open candidate; the others are superseded, and one that is champion already is done."""
    table = candidates
    query = select(table).where(table.c.model == model, table.c.state == "open").order_by(table.c.version.desc())
    newest: RowMapping | None = None
    for row in connection.execute(query.with_for_update()).mappings().all():
        if row["version"] == champion:
            state, why = "done", "it is the champion already"
        elif newest is None:
            newest, state, why = row, "claimed", "its rollout is planned"
        else:
            state, why = "superseded", f"version {newest['version']} is newer"
        connection.execute(table.update().where(table.c.id == row["id"]).values(state=state))
        act, key = f"{state} candidate", f"candidate:{row['id']}:{state}"
        version, reason = row["version"], f"version {row['version']}: {why}"
        entry = Entry(model=model, kind="rollout", act=act, reason=reason, actor="plan_rollout", version_after=version)
        rt.ledger.write(entry.model_copy(update={"idempotency_key": key}), connection)
    return newest


def _refuse(connection: Connection, rt: Runtime, run: RunContext, candidate: RowMapping, plan: Plan) -> PlannedRollout:
    """The plan is refused, not the version: its candidate is held, with the numbers and what may be changed."""
    problem = plan.estimate.problem if plan.estimate else ""
    way_out = "raise rollout.give_up_after, ask for fewer requests or give the stage more of the traffic"
    reason = f"the plan for version {plan.version} is refused: {problem}; {way_out}, then `cli release`"
    values = {"state": "held", "evidence": candidate["evidence"] | {"reason": reason}}
    connection.execute(candidates.update().where(candidates.c.id == candidate["id"]).values(values))
    entry = Entry(
        model=plan.model,
        kind="rollout",
        act="refuse plan",
        reason=reason,
        actor=run.actor,
        verdict=Outcome.FAIL,
        version_before=plan.champion,
        version_after=plan.version,
        spec_hash=plan.spec_hash,
        run_id=run.run_id,
        idempotency_key=f"plan:{candidate['id']}:{run.run_id}",
        evidence={"plan": plan.model_dump(mode="json")},
    )
    rt.ledger.write(entry, connection)
    return PlannedRollout(rollout_id=None, model=plan.model, version=plan.version, reason=reason, refused=True)


def _open(
    connection: Connection, rt: Runtime, run: RunContext, candidate: RowMapping, plan: Plan, by_hand: ByHand | None
) -> PlannedRollout:
    reason = in_short(plan) + (f"; {by_hand.told}" if by_hand else "")
    evidence = {
        "candidate": candidate["evidence"],
        "estimate": [] if plan.estimate is None else describe(plan.estimate),
        "by_hand": by_hand.model_dump(mode="json") if by_hand else None,
    }
    row = open_planned(connection, rt, run, plan, act="plan rollout", reason=reason, candidate=candidate["id"], evidence=evidence)
    return _planned(row)


def requesters_of(connection: Connection, model: str, run_id: str | None) -> list[str]:
    """All who asked for the training that made this candidate: one run answers every open request."""
    mine = (training_requests.c.model == model) & (training_requests.c.run_id == run_id)
    query = select(training_requests.c.requested_by).where(mine).order_by(training_requests.c.id)
    return list(dict.fromkeys(connection.execute(query).scalars()))


def _planned(row: RowMapping) -> PlannedRollout:
    plan = Plan.model_validate(row["plan"])
    return PlannedRollout(
        rollout_id=row["id"],
        model=row["model"],
        version=row["version"],
        champion=row["champion"],
        strategy=row["strategy"],
        reason=row["reason"],
        estimate=[] if plan.estimate is None else describe(plan.estimate),
    )
