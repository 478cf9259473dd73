"""Before traffic moves: work out who must approve, ask, and conclude from the votes; then every gate is looked at once more.

Tasks ask_approval and confirm_approval of a deploy Dag; between them stands one mapped task per seat (ballot.py).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping

from include.lifecycle.database import transaction
from include.lifecycle.errors import GateFailedError
from include.lifecycle.ledger import Entry
from include.lifecycle.results import PlannedRollout, StageResult
from include.lifecycle.rollout.approving.ballot import KIND, Ballot, asked_key, cast_vote, plain_evidence, read_ballot
from include.lifecycle.rollout.approving.body import evidence_of, question
from include.lifecycle.rollout.approving.change_size import TagsOf, change_of
from include.lifecycle.rollout.approving.need import Seat, approval_need
from include.lifecycle.rollout.approving.still_valid import reopen, still_valid
from include.lifecycle.rollout.driver import close_rollout
from include.lifecycle.rollout.hands import Hands, usual_hands
from include.lifecycle.rollout.lease import rollout_row
from include.lifecycle.rollout.planning.plan_words import plan_sentences
from include.lifecycle.rollout.states import Plan, State
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec


class ApprovalConcluded(StageResult):
    """What became of the question: whether the rollout may go on, and why."""

    rollout_id: int
    model: str
    approved: bool
    reason: str


def ask_approval(
    spec: ModelSpec,
    rt: Runtime,
    run: RunContext,
    planned: PlannedRollout,
    *,
    hands: Hands | None = None,
    tags_of: TagsOf | None = None,
) -> list[Seat]:
    """Work out who must approve, keep the question in the ledger, and return the seats that are to answer (none: nobody).

    Idempotent: what was asked first stands. Raises GateFailedError after refusing a rollout that nobody may approve, and
    SourceUnavailableError when MLflow or the database does not answer.
    """
    rollout_id, row = _planned_row(rt, planned)
    plan = Plan.model_validate(row["plan"])
    change = change_of(rt, spec.name, plan.version, plan.champion, tags_of=tags_of)
    need = approval_need(spec, plan.requested_by, change)
    with transaction(rt.engine) as connection:
        candidate, judged = evidence_of(connection, spec.name, row["candidate_id"])
        body = question(plan, need, change, candidate, judged, plan_sentences(plan))
        subject = f"Roll out version {plan.version} of {spec.name}?"
        entry = Entry(
            model=spec.name,
            kind=KIND,
            act="ask nobody" if need.level == "none" else "ask for approval",
            reason=need.told,
            actor=run.actor,
            version_before=plan.champion,
            version_after=plan.version,
            spec_hash=spec.digest,
            run_id=run.run_id,
            idempotency_key=asked_key(rollout_id),
            evidence=plain_evidence(need, subject, body, spec.approval.expires) | {"change": change and change.model_dump()},
        )
        rt.ledger.write(entry, connection)
    ballot = look(rt, rollout_id)
    if ballot.need.problem:
        close_rollout(rt, rollout_id, _holder(run), ballot.need.problem, hands=hands)
        raise GateFailedError(f"version {plan.version} of {spec.name} is refused: {ballot.need.problem}")
    return ballot.need.seats


def vote(
    rt: Runtime,
    run: RunContext,
    rollout_id: int,
    seat: int,
    *,
    approved: bool,
    by: str,
    comment: str,
    hands: Hands | None = None,
) -> Ballot:
    """Take one answer. The one that makes a quorum impossible refuses the rollout at once, without waiting for the others."""
    ballot = cast_vote(rt, run, rollout_id, seat, approved=approved, by=by, comment=comment)
    if ballot.result == "refused" and ballot.state is State.PLANNED:
        close_rollout(rt, rollout_id, _holder(run), ballot.told(), hands=hands)
        return ballot.model_copy(update={"state": State.REFUSED})
    return ballot


def look(rt: Runtime, rollout_id: int) -> Ballot:
    """The question as it stands. Raises GateFailedError when nothing was asked about this rollout."""
    with transaction(rt.engine) as connection:
        ballot = read_ballot(connection, rollout_id)
    if ballot is None:
        raise GateFailedError(f"rollout {rollout_id}: nobody was asked for an approval")
    return ballot


def confirm_approval(
    spec: ModelSpec, rt: Runtime, run: RunContext, planned: PlannedRollout, *, hands: Hands | None = None
) -> ApprovalConcluded:
    """Conclude from the votes, and look at every gate once more: what was approved must still be what is rolled out.

    A question without a quorum, or a gate that closed meanwhile, refuses the rollout. Where the champion changed or the model
    was frozen, the candidate waits again: it is judged and asked about anew. Raises GateFailedError when a file of the version
    is not the one that was checked, SourceUnavailableError when a system does not answer.
    """
    if planned.rollout_id is None:
        raise GateFailedError(f"{spec.name}: there is no rollout to approve: {planned.reason}")
    used, rollout_id, ballot = hands or usual_hands(rt), planned.rollout_id, look(rt, planned.rollout_id)
    if ballot.state is State.REFUSED:
        reopen(rt, run, rollout_id)  # an earlier try may have died between refusing and this
    if ballot.state is not State.PLANNED:
        return _concluded(rt, planned, rollout_id, approved=ballot.state not in (State.REFUSED, State.ABORTED))
    if ballot.need.level != "none" and ballot.result != "approved":
        close_rollout(rt, rollout_id, _holder(run), ballot.told(), hands=used)
        return _concluded(rt, planned, rollout_id, approved=False)
    verdict = still_valid(rt, run, rollout_id, used)
    if verdict.passed:
        return ApprovalConcluded(
            rollout_id=rollout_id, model=spec.name, approved=True, reason=ballot.told() if ballot.votes else ballot.need.told
        )
    close_rollout(rt, rollout_id, _holder(run), verdict.reason, hands=used)
    if not reopen(rt, run, rollout_id):
        raise GateFailedError(f"version {planned.version} of {spec.name} is refused: {verdict.reason}")
    return _concluded(rt, planned, rollout_id, approved=False)


def _planned_row(rt: Runtime, planned: PlannedRollout) -> tuple[int, RowMapping]:
    if planned.rollout_id is None:
        raise GateFailedError(f"{planned.model}: there is no rollout to approve: {planned.reason}")
    with transaction(rt.engine) as connection:
        row = rollout_row(connection, planned.rollout_id)
    if not State(row["state"]).is_open:
        raise GateFailedError(f"rollout {row['id']} of {row['model']} is closed as {row['state']}: {row['reason']}")
    return planned.rollout_id, row


def _concluded(rt: Runtime, planned: PlannedRollout, rollout_id: int, *, approved: bool) -> ApprovalConcluded:
    with transaction(rt.engine) as connection:
        row: Any = rollout_row(connection, rollout_id)
    told = f"rollout {rollout_id} is {row['state']}: {row['reason']}"
    return ApprovalConcluded(rollout_id=rollout_id, model=planned.model, approved=approved, reason=told)


def _holder(run: RunContext) -> str:
    return f"{run.actor}:{run.run_id}"
