"""Opens a rollout: claims the newest candidate and writes the rollouts row with everything that was agreed.

First stage of a deploy Dag. One open rollout per model; a version without a champion before it goes direct.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, RowMapping, select

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.ledger import Entry
from include.lifecycle.results import PlannedRollout
from include.lifecycle.rollout.effects import Hands, usual_hands
from include.lifecycle.rollout.freezing import frozen_reason
from include.lifecycle.rollout.lease import open_rollout
from include.lifecycle.rollout.recheck import is_stale, recheck_candidates
from include.lifecycle.rollout.rollback_notes import under_way
from include.lifecycle.rollout.states import Plan, Status, Strategy
from include.lifecycle.rollout.strategies import stages_of
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import candidates, rollouts, training_requests


def plan_rollout(spec: ModelSpec, rt: Runtime, run: RunContext, *, hands: Hands | None = None) -> PlannedRollout:
    """Claim the newest open candidate for this run; older open ones are superseded. The same run again gets the same rollout.

    A candidate that was judged against another champion is judged again first (recheck.py).
    `rollout_id` is None, with the reason, when there is no candidate or another rollout is open (the candidate then stays open).
    Raises SourceUnavailableError when MLflow or the database does not answer.
    """
    used = hands or usual_hands(rt)
    recheck_candidates(spec, rt, run, used)
    with transaction(rt.engine) as connection:
        lock_model(connection, spec.name)
        champion = used.champion_of(rt, spec.name)  # under the lock: whoever moves the alias holds it too
        mine = (rollouts.c.model == spec.name) & (rollouts.c.run_id == run.run_id)
        if (row := connection.execute(select(rollouts).where(mine)).mappings().first()) is not None:
            return _planned(row)
        if (other := open_rollout(connection, spec.name)) is not None:
            return PlannedRollout(rollout_id=None, model=spec.name, reason=f"rollout {other['id']} is open ({other['state']})")
        if reason := frozen_reason(connection, spec.name) or under_way(connection, spec.name):
            return PlannedRollout(rollout_id=None, model=spec.name, reason=reason)
        if (newest := _newest(connection, spec.name)) is not None and is_stale(newest, champion):
            told = f"the champion became version {champion} while version {newest['version']} was judged; it stays open"
            return PlannedRollout(rollout_id=None, model=spec.name, reason=told)
        candidate = _claim_newest(connection, rt, spec.name, champion)
        if candidate is None:
            return PlannedRollout(rollout_id=None, model=spec.name, reason="no candidate waits")
        return _open(connection, spec, rt, run, candidate, champion)


def _newest(connection: Connection, model: str) -> RowMapping | None:
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


def _open(
    connection: Connection, spec: ModelSpec, rt: Runtime, run: RunContext, candidate: RowMapping, champion: int | None
) -> PlannedRollout:
    plan = _plan_of(spec, candidate["version"], champion, _requesters(connection, spec.name, candidate["run_id"]))
    reason = _told(plan)
    values: dict[str, Any] = {
        "model": spec.name,
        "candidate_id": candidate["id"],
        "version": plan.version,
        "champion": champion,
        "strategy": plan.strategy,
        "reason": reason,
        "plan": plan.model_dump(mode="json"),
        "status": Status().model_dump(mode="json"),
        "run_id": run.run_id,
        "created_at": rt.clock.now(),
    }
    row = connection.execute(rollouts.insert().values(values).returning(*rollouts.c)).mappings().one()
    entry = Entry(
        model=spec.name,
        kind="rollout",
        act="plan rollout",
        reason=reason,
        actor=run.actor,
        version_before=champion,
        version_after=plan.version,
        spec_hash=plan.spec_hash,
        run_id=run.run_id,
        idempotency_key=f"rollout:{row['id']}:plan",
        evidence={"plan": values["plan"], "candidate": candidate["evidence"]},
    )
    rt.ledger.write(entry, connection)
    return _planned(row)


def _plan_of(spec: ModelSpec, version: int, champion: int | None, requesters: list[str]) -> Plan:
    rules = spec.rollout
    strategy: Strategy = "direct" if champion is None else rules.strategy
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
        "requested_by": requesters,
        "spec_hash": spec.digest,
    }
    return Plan.model_validate({name: getattr(rules, name) for name in Plan.model_fields if hasattr(rules, name)} | own)


def _requesters(connection: Connection, model: str, run_id: str | None) -> list[str]:
    """All who asked for the training that made this candidate: one run answers every open request."""
    mine = (training_requests.c.model == model) & (training_requests.c.run_id == run_id)
    query = select(training_requests.c.requested_by).where(mine).order_by(training_requests.c.id)
    return list(dict.fromkeys(connection.execute(query).scalars()))


def _told(plan: Plan) -> str:
    if not plan.stages:
        before = "no champion before it" if plan.champion is None else f"champion is version {plan.champion}"
        return f"version {plan.version} gets all traffic at once ({before})"
    shares = " > ".join(f"{one.mirror} % copied" if one.kind == "mirror" else f"{one.percent} %" for one in plan.stages)
    return f"version {plan.version} against champion {plan.champion} ({plan.strategy}): {shares} > 100 %"


def _planned(row: RowMapping) -> PlannedRollout:
    return PlannedRollout(
        rollout_id=row["id"],
        model=row["model"],
        version=row["version"],
        champion=row["champion"],
        strategy=row["strategy"],
        reason=row["reason"],
    )
