"""The votes on one rollout: rows of the ledger, each person once, a requester never; and what they come to.

The deploy Dag's task `approve` casts them, one mapped task per seat; approval.py asks and concludes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, func, select

from include.lifecycle.database import transaction
from include.lifecycle.errors import GateFailedError
from include.lifecycle.ledger import Entry
from include.lifecycle.results import StageResult
from include.lifecycle.rollout.approving.need import ApprovalNeed, Seat
from include.lifecycle.rollout.circumstances import newer_candidate
from include.lifecycle.rollout.lease import rollout_row
from include.lifecycle.rollout.states import Plan, State
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.tables import ledger
from include.lifecycle.verdicts import Outcome

KIND = "approval"
Result = Literal["approved", "refused", "open"]


class Vote(StageResult):
    """One answer that counts."""

    seat: int
    by: str
    approved: bool
    comment: str = ""


class Ballot(StageResult):
    """What was asked about one rollout, and the answers so far. `left` is the wall time until it expires."""

    rollout_id: int
    asked: int
    version: int
    need: ApprovalNeed
    subject: str
    body: str
    left: timedelta
    votes: list[Vote]
    state: State
    requested_by: list[str]
    replaced_by: int | None = None  # a newer candidate, where rollout.on_new_candidate says replace

    @property
    def result(self) -> Result:
        """Approved by a quorum, refused once a quorum is impossible, else open."""
        if sum(vote.approved for vote in self.votes) >= self.need.quorum:
            return "approved"
        noes = sum(not vote.approved for vote in self.votes)
        return "refused" if noes > len(self.need.seats) - self.need.quorum else "open"

    @property
    def over(self) -> bool:
        """Whether no answer can matter any more."""
        settled = self.result != "open" or self.replaced_by is not None
        return settled or self.left <= timedelta(0) or self.state is not State.PLANNED

    def seat(self, number: int) -> Seat:
        """The seat of that number."""
        return next(seat for seat in self.need.seats if seat.number == number)

    def told(self) -> str:
        """The answers in words."""
        said = [f"{vote.by} {'approved' if vote.approved else 'refused'}{_comment(vote.comment)}" for vote in self.votes]
        if self.result != "open":
            return "; ".join(said)
        if self.replaced_by is not None:
            return "; ".join([*said, f"version {self.replaced_by} is newer and replaces it"])
        return f"{'; '.join(said)}; {self._missing()}" if said else "nobody answered in time"

    def _missing(self) -> str:
        yes = sum(vote.approved for vote in self.votes)
        return f"{yes} of {self.need.quorum} needed approvals came in time"


def asked_key(rollout_id: int) -> str:
    """Idempotency key of the ledger's entry that holds what was asked."""
    return f"rollout:{rollout_id}:approval:asked"


def read_ballot(connection: Connection, rollout_id: int) -> Ballot | None:
    """The question and its answers; None when nothing was asked yet."""
    asked = connection.execute(select(ledger).where(ledger.c.idempotency_key == asked_key(rollout_id))).mappings().first()
    if asked is None:
        return None
    row, told = rollout_row(connection, rollout_id), asked["evidence"]
    plan = Plan.model_validate(row["plan"])
    now = connection.execute(select(func.clock_timestamp())).scalar_one()
    return Ballot(
        rollout_id=rollout_id,
        asked=asked["id"],
        version=row["version"],
        need=ApprovalNeed.model_validate(told["need"]),
        subject=told["subject"],
        body=told["body"],
        left=asked["wall_at"] + timedelta(seconds=told["expires_seconds"]) - now,
        votes=[_vote(entry) for entry in _entries(connection, row["model"], rollout_id, "vote")],
        state=State(row["state"]),
        requested_by=plan.requested_by,
        replaced_by=newer_candidate(connection, plan) if plan.on_new_candidate == "replace" else None,
    )


def cast_vote(rt: Runtime, run: RunContext, rollout_id: int, seat: int, *, approved: bool, by: str, comment: str) -> Ballot:
    """Write one answer down and return the ballot after it. An answer that does not count is noted, and changes nothing.

    It does not count when the question is over, when `by` asked for the training and says yes, sits in another's place, or has
    answered on another seat. Raises GateFailedError when nothing was asked.
    """
    with transaction(rt.engine) as connection:
        rollout_row(connection, rollout_id, lock=True)
        ballot = read_ballot(connection, rollout_id)
        if ballot is None:
            raise GateFailedError(f"rollout {rollout_id}: nobody was asked for an approval")
        if any(vote.seat == seat for vote in ballot.votes):
            return ballot
        vote = Vote(seat=seat, by=by, approved=approved, comment=comment)
        objection = _objection(ballot, vote)
        rt.ledger.write(_entry(run, ballot, vote, objection), connection)
        return ballot if objection else ballot.model_copy(update={"votes": [*ballot.votes, vote]})


def _objection(ballot: Ballot, vote: Vote) -> str:
    """Why a vote does not count, or nothing."""
    users = ballot.seat(vote.seat).users
    if ballot.over:
        return "the question is over"
    if vote.approved and vote.by in ballot.requested_by:
        return "asked for this training and may not approve it"
    if users and vote.by not in users:
        return f"is not among {', '.join(users)}"
    if any(other.by == vote.by for other in ballot.votes):
        return "answered already; each person counts once"
    return ""


def _entry(run: RunContext, ballot: Ballot, vote: Vote, objection: str) -> Entry:
    said = f"{vote.by} {'approved' if vote.approved else 'refused'}{_comment(vote.comment)}"
    return Entry(
        model=run.model,
        kind=KIND,
        act="disregard an answer" if objection else "approve rollout" if vote.approved else "refuse rollout",
        reason=f"{said}; it does not count: {vote.by} {objection}" if objection else said,
        actor=vote.by,
        verdict=None if objection else Outcome.PASS if vote.approved else Outcome.FAIL,
        version_after=ballot.version,
        run_id=run.run_id,
        # what does not count may be answered again: the same answer of the same person in one try is noted once
        idempotency_key=f"rollout:{ballot.rollout_id}:approval:{'void' if objection else 'vote'}:{vote.seat}"
        + (f":{vote.by}:{vote.approved}:{run.try_number}" if objection else ""),
        evidence=vote.model_dump(mode="json") | {"level": ballot.need.level, "requested_by": ballot.requested_by},
    )


def _vote(entry: RowMapping) -> Vote:
    return Vote.model_validate({name: entry["evidence"][name] for name in Vote.model_fields})


def _entries(connection: Connection, model: str, rollout_id: int, what: str) -> list[RowMapping]:
    prefix = f"rollout:{rollout_id}:approval:{what}:"
    mine = (ledger.c.model == model) & ledger.c.idempotency_key.startswith(prefix, autoescape=True)
    return list(connection.execute(select(ledger).where(mine).order_by(ledger.c.id)).mappings())


def _comment(text: str) -> str:
    return f": {text}" if text else ""


def plain_evidence(need: ApprovalNeed, subject: str, body: str, expires: timedelta) -> dict[str, Any]:
    """What the ledger keeps of a question, to be read back by read_ballot."""
    told = {"need": need.model_dump(mode="json"), "subject": subject, "body": body}
    return told | {"expires_seconds": expires.total_seconds()}
