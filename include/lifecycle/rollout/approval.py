"""A person's answer before traffic moves: recorded in the ledger; a no, or a yes by the requester, refuses the rollout."""

from __future__ import annotations

from include.lifecycle.database import transaction
from include.lifecycle.errors import GateFailedError
from include.lifecycle.ledger import Entry
from include.lifecycle.results import PlannedRollout
from include.lifecycle.rollout.driver import close_rollout
from include.lifecycle.rollout.effects import Hands
from include.lifecycle.rollout.lease import rollout_row
from include.lifecycle.rollout.states import Plan
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Outcome


def record_approval(
    spec: ModelSpec,
    rt: Runtime,
    run: RunContext,
    planned: PlannedRollout,
    *,
    approved: bool,
    by: str,
    comment: str,
    hands: Hands | None = None,
) -> None:
    """Write the answer down; `by` is the user's name. A refusal closes the rollout as refused and returns.

    Raises GateFailedError when the requester of the training approves it (unless the model's risk is low); that refuses, too.
    """
    if planned.rollout_id is None:
        raise GateFailedError(f"{spec.name}: there is no rollout to approve: {planned.reason}")
    with transaction(rt.engine) as connection:
        plan = Plan.model_validate(rollout_row(connection, planned.rollout_id)["plan"])
    own = approved and plan.risk != "low" and by in plan.requested_by
    reason = _told(approved=approved, own=own, by=by, comment=comment)
    verdict = Outcome.PASS if approved and not own else Outcome.FAIL
    entry = Entry(
        model=spec.name,
        kind="approval",
        act="approve rollout" if verdict is Outcome.PASS else "refuse rollout",
        reason=reason,
        actor=by,
        verdict=verdict,
        version_before=plan.champion,
        version_after=plan.version,
        run_id=run.run_id,
        idempotency_key=f"rollout:{planned.rollout_id}:approval:{verdict}",
        evidence={"comment": comment, "requested_by": plan.requested_by, "risk": plan.risk},
    )
    rt.ledger.write(entry)
    if verdict is Outcome.PASS:
        return
    close_rollout(rt, planned.rollout_id, f"{run.actor}:{run.run_id}", reason, hands=hands)
    if own:
        raise GateFailedError(f"{spec.name}: {reason}")


def _told(*, approved: bool, own: bool, by: str, comment: str) -> str:
    said = f": {comment}" if comment else ""
    if own:
        return f"{by} asked for this training and may not approve it{said}"
    return f"{by} {'approved' if approved else 'refused'}{said}"
