"""A person answers an alert: takes it (nobody else is called any more) or ends it. From CLI, REST and the Dag `acknowledge`."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import Connection, RowMapping, func, select, update

from include.lifecycle.alerting.raising import lock_alerts, resolve_alert
from include.lifecycle.database import transaction
from include.lifecycle.errors import GateFailedError
from include.lifecycle.ledger import Entry
from include.lifecycle.results import StageResult
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import alerts

Act = Literal["ack", "resolve"]
ACTS: tuple[Act, ...] = ("ack", "resolve")
_SHORTEST_REASON = 3


class Answered(StageResult):
    """What an answer came to: the alert's state, every alert that it was for, and a sentence."""

    alert: int
    model: str
    state: str
    alerts: list[int]
    told: str


def answer_alert(rt: Runtime, number: int, act: Act, *, by: str, reason: str) -> Answered:
    """Acknowledge the alert with all that stand in its incident, or resolve it alone. Again, it changes nothing.

    A finding that still stands is raised anew when it is seen again.

    Raises:
        GateFailedError: there is no such alert, the act is unknown, or no reason is given to end it.
    """
    if act not in ACTS:
        raise GateFailedError(f"act is {act!r}; allowed: {', '.join(ACTS)}")
    if act == "resolve" and len(reason.strip()) < _SHORTEST_REASON:
        raise GateFailedError(f"got reason {reason!r}; whoever ends an alert says why")
    with transaction(rt.engine) as connection:
        model = connection.execute(select(alerts.c.model).where(alerts.c.id == number)).scalar()
        if model is None:
            raise GateFailedError(f"there is no alert {number}")
        lock_alerts(connection, model)
        row = connection.execute(select(alerts).where(alerts.c.id == number)).mappings().one()
        if row["state"] == "resolved":
            return Answered(alert=number, model=model, state="resolved", alerts=[], told=f"alert {number} is over already")
        if act == "resolve":
            resolve_alert(connection, rt, model, row["key"], f"{by}: {reason}", actor=by)
            return Answered(alert=number, model=model, state="resolved", alerts=[number], told=f"{by} ended alert {number}")
        return _acknowledge(connection, rt, row, by, reason)


def _acknowledge(connection: Connection, rt: Runtime, row: RowMapping, by: str, reason: str) -> Answered:
    same = alerts.c.id == row["id"]
    if row["incident_id"] is not None:
        same |= alerts.c.incident_id == row["incident_id"]
    values = {"state": "acknowledged", "acknowledged_at": rt.clock.now(), "acknowledged_by": by, "escalate_wall_at": None}
    values |= {"answered_wall_at": func.now(), "pending": True}
    taken = update(alerts).where(same, alerts.c.state == "open").values(values).returning(alerts.c.id)
    numbers = sorted(connection.execute(taken).scalars())
    if not numbers:
        who = row["acknowledged_by"]
        return Answered(alert=row["id"], model=row["model"], state="acknowledged", alerts=[], told=f"{who} has it already")
    told = f"{by} has it" + (f": {reason}" if reason else "")
    evidence = {"alerts": numbers, "incident": row["incident_id"], "severity": row["severity"]}
    entry = Entry(model=row["model"], kind="alert", act="acknowledge alert", reason=told, actor=by, evidence=evidence)
    rt.ledger.write(entry, connection)
    return Answered(alert=row["id"], model=row["model"], state="acknowledged", alerts=numbers, told=told)
