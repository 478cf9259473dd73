"""Lets old alerts go: their rows, messages and incidents, and an incident's page. What the ledger says of them stays.

Called by the Dag `upkeep`. Killed at any point, the next run finishes it: the page goes before the rows that name it.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, RowMapping, delete, exists, func, or_, select

from include.lifecycle.alerting.planning import PLANNING
from include.lifecycle.alerting.policy import Policies
from include.lifecycle.database import lock_model, transaction
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import alert_messages, alerts, incidents

_BATCH = 500


def remove_old_alerts(rt: Runtime, policies: Policies, wall: datetime) -> int:
    """Remove closed incidents of which nothing was heard for `alerts.keep` of their model at `wall` (wall time); how many.

    All alerts of one go together, or none: one that stands, is not told yet, or was told or answered since then keeps it.
    """
    with transaction(rt.engine) as connection:
        models = connection.execute(select(incidents.c.model).distinct()).scalars().all()
    removed = 0
    for model in sorted(models):
        before = wall - policies(model).keep
        while True:
            with transaction(rt.engine) as connection:
                lock_model(connection, PLANNING)  # nothing joins an incident meanwhile
                found = _old(connection, model, before)
                for incident in found:
                    _remove(connection, rt, incident)
            removed += len(found)
            if len(found) < _BATCH:
                break
    return removed


def _old(connection: Connection, model: str, before: datetime) -> list[RowMapping]:
    written = select(alert_messages.c.id).where(alert_messages.c.alert_id == alerts.c.id)
    recent = written.where(
        or_(
            func.coalesce(alert_messages.c.sent_wall_at, alert_messages.c.wall_at) >= before,
            alert_messages.c.state.in_(("waiting", "sending")),
        )
    )
    lives: ColumnElement[bool] = or_(
        alerts.c.state != "resolved",
        alerts.c.pending,
        func.coalesce(alerts.c.answered_wall_at, alerts.c.wall_at) >= before,
        exists(recent),
    )
    living = exists(select(alerts.c.id).where(alerts.c.incident_id == incidents.c.id, lives))
    mine = (incidents.c.model == model) & (incidents.c.state == "closed") & (incidents.c.wall_at < before)
    query = select(incidents).where(mine, ~living).order_by(incidents.c.id).limit(_BATCH)
    return list(connection.execute(query).mappings())


def _remove(connection: Connection, rt: Runtime, incident: RowMapping) -> None:
    if incident["timeline"]:
        (rt.storage.reports(incident["model"]) / incident["timeline"]).unlink(missing_ok=True)
    of = select(alerts.c.id).where(alerts.c.incident_id == incident["id"])
    connection.execute(delete(alert_messages).where(alert_messages.c.alert_id.in_(of)))
    connection.execute(delete(alerts).where(alerts.c.incident_id == incident["id"]))
    connection.execute(delete(incidents).where(incidents.c.id == incident["id"]))
