"""The kill switch: while a model (or all, `*`) is frozen, nothing of it goes forward. Going back is always allowed.

A row, so that it holds for every process at its next look, and works while Airflow is down. Asked by confirm_training, decide,
plan_rollout, the state machine, promotion, retirement and retention; rollbacks never ask.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy import Connection, RowMapping, select
from sqlalchemy.dialects.postgresql import insert

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.errors import GateFailedError, LifecycleError
from include.lifecycle.ledger import Entry
from include.lifecycle.rollout.states import OPEN_STATES
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.tables import freezes, rollouts

if TYPE_CHECKING:
    from include.lifecycle.rollout.hands import Hands

ALL = "*"
KIND = "freeze"


def frozen_reason(connection: Connection, model: str) -> str:
    """Why nothing of the model may go forward, with who said so; empty when it may."""
    row = connection.execute(select(freezes).where(freezes.c.model.in_([model, ALL])).order_by(freezes.c.at)).mappings().first()
    return "" if row is None else told(row)


def refuse_frozen(connection: Connection, model: str, act: str) -> None:
    """GateFailedError, naming the act, while the model is frozen."""
    if reason := frozen_reason(connection, model):
        raise GateFailedError(f"{model}: {act} is not allowed now: {reason}; `cli unfreeze` ends it")


def told(row: RowMapping) -> str:
    """One freeze in words."""
    scope = "everything is frozen" if row["model"] == ALL else f"{row['model']} is frozen"
    return f"{scope} since {row['at']:%Y-%m-%d %H:%M} UTC by {row['by']}: {row['reason']}"


def freeze(rt: Runtime, model: str, *, reason: str, by: str) -> bool:
    """Freeze a model, or all with ALL; True when that changed anything. It is in force when this returns.

    Raises:
        LifecycleError: no reason is given.
        SourceUnavailableError: the database did not answer.
    """
    _ask_reason(reason)
    values = {"model": model, "reason": reason, "by": by, "at": rt.clock.now()}
    with transaction(rt.engine) as connection:
        made = connection.execute(insert(freezes).values(values).on_conflict_do_nothing().returning(freezes.c.model)).first()
        if made is None:
            return False
        _note(rt, connection, model, "freeze", reason, by)
    return True


def unfreeze(rt: Runtime, model: str, *, reason: str, by: str) -> bool:
    """End the freeze of a model, or with ALL the one of everything; True when there was one. Errors as in `freeze`."""
    _ask_reason(reason)
    with transaction(rt.engine) as connection:
        if connection.execute(freezes.delete().where(freezes.c.model == model)).rowcount == 0:
            return False
        _note(rt, connection, model, "unfreeze", reason, by)
    return True


def standing(rt: Runtime) -> list[RowMapping]:
    """All freezes in force, oldest first."""
    with transaction(rt.engine) as connection:
        return list(connection.execute(select(freezes).order_by(freezes.c.at)).mappings())


def rolling_out(rt: Runtime) -> list[str]:
    """Models with an open rollout, or with a share beside the champion's that one left behind, by name."""
    from include.lifecycle.rollout.gateway.traffic import read_all
    from include.lifecycle.rollout.ways_back.leftover import left_in

    with transaction(rt.engine) as connection:
        query = select(rollouts.c.model).where(rollouts.c.state.in_(OPEN_STATES))
        left = {row.model for row in read_all(connection) if left_in(row) is not None}
        return sorted(left.union(connection.execute(query).scalars()))


def return_all_traffic(rt: Runtime, models: Collection[str], *, reason: str, by: str, hands: Hands | None = None) -> list[str]:
    """Abort the open rollouts of these models, whoever drives them: their champions get all traffic; one sentence each. A share
    that a rollout left behind ends, too.

    One model's trouble does not stop the others: it is told in its sentence, and reconcile goes on with it.
    """
    from include.lifecycle.rollout.driver import abort_rollout
    from include.lifecycle.rollout.lease import open_rollout

    told, said = f"frozen by {by}: {reason}", []
    for model in sorted(models):
        with transaction(rt.engine) as connection:
            row = open_rollout(connection, model)
        try:
            if row is None:
                said += _end_leftover(rt, model, told, hands)
                continue
            outcome = abort_rollout(rt, row["id"], f"freeze:{by}:{uuid4().hex[:8]}", told, hands=hands)
            said.append(f"{model}: rollout {row['id']} {outcome.state}; {outcome.reason}")
        except LifecycleError as problem:
            what = "a share that was left" if row is None else f"rollout {row['id']}"
            said.append(f"{model}: {what} could not be ended now, it goes back when what is down answers: {problem}")
    return said


def _end_leftover(rt: Runtime, model: str, told: str, hands: Hands | None) -> list[str]:
    from include.lifecycle.rollout.gateway.traffic import read_desired
    from include.lifecycle.rollout.hands import usual_hands
    from include.lifecycle.rollout.ways_back.leftover import end_leftover, find_leftover, left_in

    with transaction(rt.engine) as connection:
        if left_in(read_desired(connection, model)) is None:
            return []
    used = hands or usual_hands(rt)
    left = find_leftover(rt, used, model)
    run = RunContext(model, f"freeze__{uuid4().hex}", "return_traffic", by="freeze")
    if left is None or not end_leftover(rt, run, used, left, told):
        raise LifecycleError("its traffic changed meanwhile; ask again")
    return [f"{model}: the share of version {left.version} is ended; {told}"]


def _note(rt: Runtime, connection: Connection, model: str, act: str, reason: str, by: str) -> None:
    lock_model(connection, model)
    rt.ledger.write(Entry(model=model, kind=KIND, act=act, reason=reason, actor=by), connection)


def _ask_reason(reason: str) -> None:
    if not reason.strip():
        raise LifecycleError("a reason is asked for; it stands in the ledger and tells whoever finds it frozen")
