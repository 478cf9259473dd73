"""Questions to people: shall it be trained (mode suggest), or may the training that was requested start (mode approve)?

`decide` writes a question as a row; the Dag `ask` puts it to people, one run per question, and answers it here. A row outlives
paused Dags and restarts. At most one question per model is open.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, insert, select, update

from include.lifecycle.alerting.events import end_event, tell_event
from include.lifecycle.alerting.kinds import QUESTION
from include.lifecycle.database import lock_model, transaction
from include.lifecycle.decisions.vocabulary import Decision, SignalView
from include.lifecycle.errors import GateFailedError
from include.lifecycle.ledger import Entry
from include.lifecycle.results import StageResult
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.tables import questions, signals, training_requests
from include.lifecycle.training.requests import request_training

Kind = Literal["suggest", "approve"]
_ROWS = questions.c
_SLACK = timedelta(hours=1)


class Question(StageResult):
    """A question as the asking task needs it; `state` other than open means that nobody need be asked any more."""

    id: int
    model: str
    kind: Kind
    state: str
    reason: str
    causes: dict[str, Any]
    training_request_id: int | None = None


class Answer(StageResult):
    """What came of a question: its new state, and the training request that may start now (None: none)."""

    question: int
    model: str
    state: str
    reason: str
    training_request_id: int | None = None


def ask(
    rt: Runtime,
    connection: Connection,
    *,
    model: str,
    decision: Decision,
    opened: Sequence[SignalView],
    actor: str,
    request_id: int | None = None,
) -> int | None:
    """Write the question that `decision` (suggest or approve) asks; None while one about this model is open.

    Belongs to the caller's transaction, under the model's lock.
    """
    if open_question(connection, model) is not None:
        return None
    asked = [signal for signal in opened if decision.by_signal[signal.id].act == decision.act]
    about = {one.cause: {"effect": one.effect, "version": one.version, "signal": one.id, "kind": one.kind} for one in asked}
    values: dict[str, Any] = {"model": model, "kind": decision.act, "reason": decision.reason, "causes": about}
    values |= {"training_request_id": request_id, "asked_at": rt.clock.now()}
    number = int(connection.execute(insert(questions).values(values).returning(_ROWS.id)).scalar_one())
    _note(rt, connection, model, f"ask a person ({decision.act})", decision.reason, actor, {"question": number, "causes": about})
    words = f"{'May the requested training start' if decision.act == 'approve' else 'Shall it be trained'}? {decision.reason}"
    tell_event(connection, rt, QUESTION, model, key=str(number), reason=words, actor=actor, question=number)
    return number


def read_question(rt: Runtime, number: int, run_id: str | None = None) -> Question:
    """The question of this number; `run_id` is noted as the run that asks it. GateFailedError when there is none."""
    with transaction(rt.engine) as connection:
        if run_id is not None:
            connection.execute(update(questions).where(_ROWS.id == number).values(run_id=run_id))
        row = connection.execute(select(questions).where(_ROWS.id == number)).mappings().first()
    if row is None:
        raise GateFailedError(f"there is no question {number}")
    return Question.model_validate(dict(row))


def answer(rt: Runtime, run: RunContext, number: int, *, approved: bool, by: str | None, comment: str = "") -> Answer:
    """Take a person's answer (`by` None: nobody answered in time, which declines). Again, it changes nothing.

    A yes requests the training, or lets the awaiting one start; confirm_training still looks at freezes, rollouts and budget.
    A no keeps the same causes from asking until their effect grew by `retraining.spent_until_grown`.
    """
    with transaction(rt.engine) as connection:
        model = connection.execute(select(_ROWS.model).where(_ROWS.id == number)).scalar()
        if model is None:
            raise GateFailedError(f"there is no question {number}")
        lock_model(connection, model)
        row = connection.execute(select(questions).where(_ROWS.id == number)).mappings().one()
        if row["state"] != "open":
            return _answer(row, row["state"], f"question {number} is {row['state']} already", row["training_request_id"])
        return _take(rt, run, connection, row, approved=approved, by=by, comment=comment)


def withdraw(rt: Runtime, connection: Connection, row: RowMapping, reason: str, *, actor: str) -> None:
    """Close an open question that nobody need answer any more. Belongs to the caller's transaction."""
    _close(rt, connection, row, "withdrawn", None, "")
    _note(rt, connection, row["model"], f"withdraw question {row['id']}", reason, actor, {"question": row["id"]})


def expire_overdue(rt: Runtime, run: RunContext, connection: Connection, row: RowMapping, within: timedelta) -> bool:
    """Decline an open question that nobody answered `within` and an hour more of wall time: its asking run died, or never began.

    Belongs to the caller's transaction. The asking run itself expires the question earlier than this.
    """
    if datetime.now(UTC) - row["wall_at"] <= within + _SLACK:
        return False
    _take(rt, run, connection, row, approved=False, by=None, comment="")
    return True


def open_question(connection: Connection, model: str) -> RowMapping | None:
    """The model's open question."""
    return connection.execute(select(questions).where(_ROWS.model == model, _ROWS.state == "open")).mappings().first()


def models_with_questions(connection: Connection) -> set[str]:
    """Models with an open question."""
    return set(connection.execute(select(_ROWS.model).where(_ROWS.state == "open")).scalars())


def unasked(rt: Runtime) -> list[Question]:
    """Open questions that no run has put to people yet; `decide` starts their runs."""
    with transaction(rt.engine) as connection:
        query = select(questions).where(_ROWS.state == "open", _ROWS.run_id.is_(None)).order_by(_ROWS.id)
        return [Question.model_validate(dict(row)) for row in connection.execute(query).mappings()]


def declined_effects(connection: Connection, model: str, opened: Sequence[SignalView]) -> dict[str, float]:
    """Effect at which each cause was last declined in a suggestion, where the version that showed it is the present one.

    A signal of no version (volume, external) counts from nothing each time it opens: a no holds for that one signal alone.
    """
    present = {signal.cause: signal for signal in opened}
    query = select(_ROWS.causes).where(_ROWS.model == model, _ROWS.kind == "suggest", _ROWS.state.in_(("refused", "expired")))
    found: dict[str, float] = {}
    for causes in connection.execute(query.order_by(_ROWS.id)).scalars():
        for cause, told in causes.items():
            signal = present.get(cause)
            if signal is None or told["version"] != signal.version:
                continue
            if signal.version is not None or told["signal"] == signal.id:
                found[cause] = float(told["effect"])
    return found


def _take(
    rt: Runtime, run: RunContext, connection: Connection, row: RowMapping, *, approved: bool, by: str | None, comment: str
) -> Answer:
    state = "approved" if approved else "refused" if by else "expired"
    said = f"{by or 'nobody in time'} said {'yes' if approved else 'no'}" + (f": {comment}" if comment else "")
    request_id = _approve(rt, run, connection, row, by, said) if approved else _refuse(connection, row, said)
    if approved and request_id is None:
        state, said = "withdrawn", f"{said}; what the question was about is over meanwhile, so nothing is trained"
    _close(rt, connection, row, state, by, comment, request_id)
    evidence = {"question": row["id"], "kind": row["kind"], "causes": row["causes"], "training_request": request_id}
    _note(rt, connection, row["model"], f"{state} training ({row['kind']})", said, by or run.actor, evidence, run.run_id)
    return _answer(row, state, said, request_id if state == "approved" else None)


def _approve(rt: Runtime, run: RunContext, connection: Connection, row: RowMapping, by: str | None, said: str) -> int | None:
    """The request that may start: the awaiting one, or a new one for the signals that still stand; None when none does."""
    rows = training_requests.c
    if row["kind"] == "approve":
        mine = (rows.id == row["training_request_id"]) & (rows.state == "awaiting")
        moved = connection.execute(update(training_requests).where(mine).values(state="open").returning(rows.id))
        return moved.scalar_one_or_none()
    numbers = {cause: told["signal"] for cause, told in row["causes"].items()}
    standing = select(signals.c.id, signals.c.cause, signals.c.kind, signals.c.effect, signals.c.version)
    standing = standing.where(signals.c.id.in_(numbers.values()), signals.c.state == "open")
    found = connection.execute(standing.order_by(signals.c.kind != "decay", signals.c.effect.desc())).all()
    if not found:
        return None
    first = found[0]
    cause = {"cause": first.cause, "kind": first.kind, "effect": first.effect, "version": first.version}
    cause |= {"signals": {one.cause: one.id for one in found}, "approved_by": by, "question": row["id"]}
    number = request_training(
        rt,
        connection,
        model=row["model"],
        source="signal",
        reason=f"{row['reason']}; {said}",
        cause=cause,
        requested_by=run.actor,
        requested_at=rt.clock.now(),
    )
    accepted = {"state": "accepted", "training_request_id": number, "last_decision": "approved"}
    connection.execute(update(signals).where(signals.c.id.in_([one.id for one in found])).values(accepted))
    return number


def _refuse(connection: Connection, row: RowMapping, said: str) -> int | None:
    number: int | None = row["training_request_id"]
    waiting = (training_requests.c.id == number) & (training_requests.c.state == "awaiting")
    connection.execute(update(training_requests).where(waiting).values(state="refused", outcome=said))
    return number


def _close(
    rt: Runtime, connection: Connection, row: RowMapping, state: str, by: str | None, comment: str, request: int | None = None
) -> None:
    values: dict[str, Any] = {"state": state, "answered_at": rt.clock.now(), "answered_by": by, "comment": comment or None}
    if request is not None:
        values["training_request_id"] = request
    connection.execute(update(questions).where(_ROWS.id == row["id"]).values(values))
    end_event(connection, rt, QUESTION, row["model"], key=str(row["id"]), reason=f"it is {state}", actor=by or "decide")


def _answer(row: RowMapping, state: str, reason: str, request_id: int | None) -> Answer:
    return Answer(question=row["id"], model=row["model"], state=state, reason=reason, training_request_id=request_id)


def _note(
    rt: Runtime,
    connection: Connection,
    model: str,
    act: str,
    reason: str,
    actor: str,
    evidence: dict[str, Any],
    run_id: str | None = None,
) -> None:
    entry = Entry(model=model, kind="approval", act=act, reason=reason, actor=actor, evidence=evidence, run_id=run_id)
    rt.ledger.write(entry, connection)
