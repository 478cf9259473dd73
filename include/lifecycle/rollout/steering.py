"""A person's hand on an open rollout: pause, resume, skip, abort, conclude. Written into its row; its driver takes it up.

The command line and the Dag `steer` come here. What was asked, by whom and why, and what became of it, stands in the ledger.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, Literal, get_args
from uuid import uuid4

from sqlalchemy import Connection, RowMapping, func, select

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.errors import GateFailedError
from include.lifecycle.ledger import Entry
from include.lifecycle.rollout.circumstances import asked_of
from include.lifecycle.rollout.driver import abort_rollout, close_rollout
from include.lifecycle.rollout.evidence import Command, Wish
from include.lifecycle.rollout.hands import Hands
from include.lifecycle.rollout.lease import open_rollout, rollout_row
from include.lifecycle.rollout.states import Plan, State, Status
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import ledger, rollouts

WISHES: tuple[Wish, ...] = get_args(Wish)
Winner = Literal["challenger", "champion"]
_PAUSE = 0.2  # seconds between two looks for the driver's answer
_PAUSED = "it is paused; resume it first"


def steer(
    rt: Runtime,
    model: str,
    command: Wish,
    *,
    by: str,
    reason: str,
    winner: Winner | None = None,
    run_id: str | None = None,
    hands: Hands | None = None,
) -> int:
    """Ask the model's rollout to `command`; returns its id. The driver answers at its next look, about a second later.

    One command waits at a time; only an abort takes another's place. `run_id` names the Dag run that asks: asking again with it
    changes nothing. An abort that no driver would take up (the rollout waits for approval, or was held) is carried out here.
    Raises GateFailedError when there is no such rollout or the command does not fit where it stands.
    """
    wish = Command(wish=command, by=by, reason=reason.strip(), winner=winner, at=datetime.now(UTC))
    with transaction(rt.engine) as connection:
        lock_model(connection, model)
        row, asked = _target(connection, model, wish), _asked(connection, run_id)
        if not asked:
            _refuse_misfits(row, wish)
            _write(connection, rt, row, wish, run_id)
        driven = is_driven(connection, row)
    if command == "abort" and not driven:
        end = close_rollout if row["state"] == State.PLANNED.value else abort_rollout
        end(rt, row["id"], f"steer:{by}:{uuid4().hex[:8]}", wish.told, hands=hands)
    return int(row["id"])


def is_driven(connection: Connection, row: RowMapping) -> bool:
    """Whether somebody holds the rollout's lease, and so looks at it about once a second."""
    now = connection.execute(select(func.clock_timestamp())).scalar_one()
    return row["lease_until"] is not None and bool(row["lease_until"] > now)


def answered(rt: Runtime, rollout_id: int, seconds: float) -> RowMapping:
    """The rollout's row once its driver took the command up, or as it is after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        with transaction(rt.engine) as connection:
            row = rollout_row(connection, rollout_id)
        if row["command"] is None or time.monotonic() >= deadline:
            return row
        time.sleep(_PAUSE)


def latest_rollout(connection: Connection, model: str, *, lock: bool = False) -> RowMapping | None:
    """The model's open rollout, or the last one that was planned."""
    if (found := open_rollout(connection, model)) is None:
        query = select(rollouts).where(rollouts.c.model == model).order_by(rollouts.c.id.desc()).limit(1)
        found = connection.execute(query).mappings().first()
    if found is None or not lock:
        return found
    return connection.execute(select(rollouts).where(rollouts.c.id == found["id"]).with_for_update()).mappings().one()


def _target(connection: Connection, model: str, wish: Command) -> RowMapping:
    """The rollout that is meant: the open one."""
    row = latest_rollout(connection, model, lock=True)
    if row is None:
        raise GateFailedError(f"{model} has no rollout to {wish.wish}")
    state = State(row["state"])
    if state.is_open:
        return row
    ended = f"the last one, {row['id']}, ended {state}: {row['reason']}"
    raise GateFailedError(f"{model} has no open rollout to {wish.wish}; {ended}")


def _refuse_misfits(row: RowMapping, wish: Command) -> None:
    """Raise GateFailedError for a command that cannot apply where the rollout stands, or while another one waits."""
    if not wish.reason:
        raise GateFailedError(f"a rollout is asked to {wish.wish} for a reason; got none (it stands in the ledger)")
    waiting = asked_of(row)
    if waiting is not None and wish.wish != "abort":
        raise GateFailedError(f"rollout {row['id']} has not yet taken up that {waiting.told}; only an abort may overtake it")
    problem = misfit(Plan.model_validate(row["plan"]), Status.model_validate(row["status"]), wish)
    if problem:
        raise GateFailedError(f"rollout {row['id']} of {row['model']} cannot {wish.wish}: {problem}")


def misfit(plan: Plan, status: Status, wish: Command) -> str:
    """Why the command does not fit where the rollout stands; nothing when it does. Evidence is the driver's matter."""
    stage = plan.stage_at(status.step) if status.state is State.RUNNING else None
    if wish.winner is not None and wish.wish != "conclude":
        return f"a winner belongs to conclude only; got {wish.winner}"
    if status.state is State.PLANNED and wish.wish != "abort":
        return "it waits for serving check and approval; only abort is possible now"
    paused = status.paused and not status.held
    waits = status.paused or (stage is not None and stage.manual)
    problems = {
        "pause": "it is paused already" if status.paused else "",
        "resume": "" if waits else "it is not paused, and this stage does not wait for a person",
        "skip": _PAUSED if paused else "",
        "conclude": _no_conclusion(wish, experiment=stage is not None and stage.kind == "ab_test", paused=paused),
    }
    return problems.get(wish.wish, "")


def _no_conclusion(wish: Command, *, experiment: bool, paused: bool) -> str:
    if not experiment:
        return "no A/B test runs now; use skip to leave a stage, or abort"
    if wish.winner is None:
        return "it needs a winner: challenger or champion"
    return _PAUSED if paused and wish.winner == "challenger" else ""


def _write(connection: Connection, rt: Runtime, row: RowMapping, wish: Command, run_id: str | None) -> None:
    values: dict[str, Any] = {"command": wish.model_dump(mode="json")}
    connection.execute(rollouts.update().where(rollouts.c.id == row["id"]).values(**values))
    entry = Entry(
        model=row["model"],
        kind="rollout",
        act=f"ask to {wish.wish}",
        reason=wish.told,
        actor=wish.by,
        version_before=row["champion"],
        version_after=row["version"],
        run_id=run_id,
        idempotency_key=None if run_id is None else _key(run_id),
        evidence={"rollout": row["id"], "command": wish.model_dump(mode="json"), "overtakes": row["command"]},
    )
    rt.ledger.write(entry, connection)


def _asked(connection: Connection, run_id: str | None) -> bool:
    if run_id is None:
        return False
    query = select(ledger.c.id).where(ledger.c.idempotency_key == _key(run_id))
    return connection.execute(query).first() is not None


def _key(run_id: str) -> str:
    return f"steer:{run_id}"
