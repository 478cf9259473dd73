"""Incidents: alerts that share a source and come within a short time of each other. People are told of an incident, once.

Belongs to the planner's transaction: one planner at a time, so an incident never opens twice.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import alert_messages, alerts, incidents

_TOLD = ("raised", "worse", "escalated")


def join_incident(connection: Connection, alert: RowMapping, within: timedelta) -> int:
    """Put the alert into the incident of its source that was seen within `within` (event time) of it; else open a new one.

    One that was closed a moment ago is open again.
    """
    if alert["incident_id"] is not None:
        number = int(alert["incident_id"])
    else:
        near = incidents.c.last_seen.between(alert["first_seen"] - within, alert["last_seen"] + within)
        newest = (
            select(incidents.c.id).where(incidents.c.source == alert["source"], near).order_by(incidents.c.id.desc()).limit(1)
        )
        found = connection.execute(newest).scalar()
        number = _open(connection, alert) if found is None else int(found)
    seen = {"last_seen": func.greatest(incidents.c.last_seen, alert["last_seen"]), "state": "open", "closed_at": None}
    worst = func.least(incidents.c.severity, alert["severity"])
    connection.execute(update(incidents).where(incidents.c.id == number).values(seen | {"severity": worst}))
    connection.execute(update(alerts).where(alerts.c.id == alert["id"]).values(incident_id=number))
    return number


def told_already(connection: Connection, incident: int, alert: RowMapping) -> set[str]:
    """Models of other standing alerts of the incident, at least as urgent, that people were told of."""
    events = [alert_messages.c.event.startswith(event) for event in _TOLD]
    other = (alerts.c.incident_id == incident) & (alerts.c.id != alert["id"]) & (alerts.c.state != "resolved")
    query = select(alerts.c.model).distinct().join(alert_messages, alert_messages.c.alert_id == alerts.c.id)
    query = query.where(other, alerts.c.severity <= alert["severity"], events[0] | events[1] | events[2])
    return set(connection.execute(query).scalars())


def standing_of(connection: Connection, incident: int) -> list[RowMapping]:
    """The incident's alerts that stand, the most urgent first."""
    query = select(alerts).where(alerts.c.incident_id == incident, alerts.c.state != "resolved")
    return list(connection.execute(query.order_by(alerts.c.severity, alerts.c.id)).mappings())


def channels_told(connection: Connection, incident: int) -> dict[str, int]:
    """Every channel that was told of the incident since it was last said to be over, with the alert that it was told of first."""
    ended = select(func.max(alert_messages.c.id)).join(alerts, alert_messages.c.alert_id == alerts.c.id)
    ended = ended.where(alerts.c.incident_id == incident, alert_messages.c.event == "resolved")
    last = connection.execute(ended).scalar() or 0
    query = select(alert_messages.c.channel, func.min(alert_messages.c.alert_id).label("alert"))
    query = query.join(alerts, alert_messages.c.alert_id == alerts.c.id).where(alerts.c.incident_id == incident)
    rows = connection.execute(query.where(alert_messages.c.id > last).group_by(alert_messages.c.channel))
    return {str(row.channel): int(row.alert) for row in rows}


def close_incident(connection: Connection, rt: Runtime, incident: int) -> RowMapping:
    """Close it; its row as it stands then. The page of a P0 or P1 is written afterwards (timeline.py)."""
    closing = update(incidents).where(incidents.c.id == incident).values(state="closed", closed_at=rt.clock.now())
    return connection.execute(closing.returning(*incidents.c)).mappings().one()


def _open(connection: Connection, alert: RowMapping) -> int:
    values = {"model": alert["model"], "source": alert["source"], "severity": alert["severity"], "title": alert["title"]}
    values |= {"opened_at": alert["first_seen"], "last_seen": alert["last_seen"]}
    return int(connection.execute(insert(incidents).values(values).returning(incidents.c.id)).scalar_one())
