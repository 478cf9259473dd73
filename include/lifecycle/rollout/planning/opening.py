"""Writes a planned rollout down: its row, with everything that was agreed, and the ledger's entry beside it.

Called by planning.py and experiments/aa.py under the model's lock.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, RowMapping

from include.lifecycle.ledger import Entry
from include.lifecycle.rollout.states import Plan, Status
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.tables import rollouts


def open_planned(
    connection: Connection,
    rt: Runtime,
    run: RunContext,
    plan: Plan,
    *,
    act: str,
    reason: str,
    candidate: int | None = None,
    evidence: dict[str, Any] | None = None,
) -> RowMapping:
    """The new row of `plan`; `act` and `reason` go to the ledger, with the plan and further `evidence`."""
    values = {
        "model": plan.model,
        "candidate_id": candidate,
        "version": plan.version,
        "champion": plan.champion,
        "strategy": plan.strategy,
        "reason": reason,
        "plan": plan.model_dump(mode="json"),
        "status": Status().model_dump(mode="json"),
        "run_id": run.run_id,
        "created_at": rt.clock.now(),
    }
    row = connection.execute(rollouts.insert().values(values).returning(*rollouts.c)).mappings().one()
    entry = Entry(
        model=plan.model,
        kind="rollout",
        act=act,
        reason=reason,
        actor=run.actor,
        version_before=plan.champion,
        version_after=plan.version,
        spec_hash=plan.spec_hash,
        run_id=run.run_id,
        idempotency_key=f"rollout:{row['id']}:plan",
        evidence={"plan": values["plan"]} | (evidence or {}),
    )
    rt.ledger.write(entry, connection)
    return row
