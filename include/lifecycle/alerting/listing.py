"""Alerts and incidents as people and other systems read them: lists, one with its messages, and how soon they were answered."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, RowMapping, func, select

from include.lifecycle.alerting.kinds import LEVELS
from include.lifecycle.alerting.policy import Policies
from include.lifecycle.tables import alert_messages, alerts, incidents


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True)


class Alert(_Plain):
    """One alert. Times without `wall` are event time; `level` is CRITICAL, WARNING or INFO, `escalation` how far it went."""

    id: int
    model: str
    kind: str
    severity: str
    level: str
    state: str
    title: str
    reason: str
    count: int
    escalation: int
    incident: int | None
    runbook: str | None
    first_seen: datetime
    last_seen: datetime
    acknowledged_by: str | None
    raised_wall_at: datetime
    answered_wall_at: datetime | None
    evidence: dict[str, Any]


class SentMessage(_Plain):
    """One message of an alert: which channel, about what, and what became of it."""

    channel: str
    event: str
    state: str
    attempts: int
    sent_wall_at: datetime | None
    error: str | None


class AlertDetail(_Plain):
    """One alert with its messages, oldest first, and the page of its incident once that is written."""

    alert: Alert
    messages: list[SentMessage]
    timeline: str | None


class Incident(_Plain):
    """Alerts that shared a source; `timeline` names the page that was written when a P0 or P1 closed."""

    id: int
    model: str
    source: str
    severity: str
    state: str
    title: str
    opened_at: datetime
    closed_at: datetime | None
    alerts: int
    timeline: str | None


class Answers(_Plain):
    """How soon alerts of one severity were answered (taken by a person, or over): seconds, and how many within their time."""

    severity: str
    alerts: int
    in_time: int
    late: int
    median_seconds: float | None


def list_alerts(
    connection: Connection,
    model: str | None = None,
    *,
    states: tuple[str, ...] = ("open", "acknowledged"),
    severity: str | None = None,
    kind: str | None = None,
    limit: int = 50,
    before: int | None = None,
) -> list[Alert]:
    """Newest first; `before` is an id, to read on."""
    query = select(alerts).where(alerts.c.state.in_(states)).order_by(alerts.c.id.desc()).limit(limit)
    for column, value in ((alerts.c.model, model), (alerts.c.severity, severity), (alerts.c.kind, kind)):
        query = query if value is None else query.where(column == value)
    query = query if before is None else query.where(alerts.c.id < before)
    return [_alert(row) for row in connection.execute(query).mappings()]


def find_alert(connection: Connection, number: int) -> AlertDetail | None:
    """One alert; None when there is none of this number."""
    row = connection.execute(select(alerts).where(alerts.c.id == number)).mappings().first()
    if row is None:
        return None
    sent = select(alert_messages).where(alert_messages.c.alert_id == number).order_by(alert_messages.c.id)
    names = SentMessage.model_fields
    messages = [SentMessage(**{name: one[name] for name in names}) for one in connection.execute(sent).mappings()]
    page = connection.execute(select(incidents.c.timeline).where(incidents.c.id == row["incident_id"])).scalar()
    return AlertDetail(alert=_alert(row), messages=messages, timeline=page)


def list_incidents(connection: Connection, model: str | None = None, *, limit: int = 50) -> list[Incident]:
    """Newest first."""
    counted = select(func.count()).where(alerts.c.incident_id == incidents.c.id).scalar_subquery().label("alerts")
    query = select(incidents, counted).order_by(incidents.c.id.desc()).limit(limit)
    if model is not None:
        query = query.where(incidents.c.model == model)
    names = Incident.model_fields
    return [Incident(**{name: row[name] for name in names}) for row in connection.execute(query).mappings()]


def answers(connection: Connection, policies: Policies, since: datetime, until: datetime) -> list[Answers]:
    """By severity, alerts that were raised in [since, until) of wall time; one that waits is late once it is overdue."""
    raised = (alerts.c.wall_at >= since) & (alerts.c.wall_at < until)
    query = select(alerts.c.model, alerts.c.severity, alerts.c.wall_at, alerts.c.answered_wall_at).where(raised)
    found: dict[str, list[tuple[float, bool, bool]]] = {severity: [] for severity in LEVELS}
    for row in connection.execute(query):
        allowed = getattr(policies(row.model).respond_within, row.severity).total_seconds()
        seconds = ((row.answered_wall_at or until) - row.wall_at).total_seconds()
        found[row.severity].append((seconds, row.answered_wall_at is not None, seconds <= allowed))
    return [_answers(severity, rows) for severity, rows in found.items()]


def _answers(severity: str, rows: list[tuple[float, bool, bool]]) -> Answers:
    took = sorted(seconds for seconds, answered, _ in rows if answered)
    in_time = sum(answered and good for _, answered, good in rows)
    late = sum(not good for *_, good in rows)
    median = took[len(took) // 2] if took else None
    return Answers(severity=severity, alerts=len(rows), in_time=in_time, late=late, median_seconds=median)


def _alert(row: RowMapping) -> Alert:
    same = {name: row[name] for name in Alert.model_fields if name in row}
    same |= {"level": LEVELS[row["severity"]], "escalation": row["level"], "incident": row["incident_id"]}
    return Alert(**same | {"raised_wall_at": row["wall_at"]})
