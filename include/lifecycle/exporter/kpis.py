"""KPIs of the last 30 days from rows: alerts answered in the time of their severity, and trainings by what asked for them.

Uptime and pipeline success are Prometheus' recording rules (docker/prometheus/rules/recording.yml): rows do not know them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from include.lifecycle.exporter.families import Families
from include.lifecycle.tables import alerts, training_requests

RESPONSE = {"P0": timedelta(minutes=15), "P1": timedelta(hours=1), "P2": timedelta(hours=4), "P3": timedelta(days=1)}
"""Response times by severity (seed document S2)."""

_SPAN = timedelta(days=30)


def responses(connection: Connection, now: datetime, span: timedelta = _SPAN) -> dict[tuple[str, str], int]:
    """How many alerts of `span` (event time) were answered in time, late, or not at all: {(severity, answer): count}.

    An answer is an acknowledgement, or that it resolved. One that still has time left counts nowhere.
    """
    table = alerts.c
    query = select(table.severity, table.first_seen, func.least(table.acknowledged_at, table.resolved_at).label("answered"))
    found: dict[tuple[str, str], int] = {}
    for row in connection.execute(query.where(table.first_seen > now - span)).mappings():
        within = RESPONSE[row["severity"]]
        if row["answered"] is not None:
            answer = "in_time" if row["answered"] - row["first_seen"] <= within else "late"
        elif now - row["first_seen"] > within:
            answer = "missing"
        else:
            continue
        key = (str(row["severity"]), answer)
        found[key] = found.get(key, 0) + 1
    return found


def trainings(connection: Connection, now: datetime, span: timedelta = _SPAN) -> dict[tuple[str, str], int]:
    """How many trainings of `span` succeeded, by (model, what asked for it)."""
    table = training_requests.c
    query = select(table.model, table.source, func.count().label("count")).where(table.state == "done")
    query = query.where(table.requested_at > now - span).group_by(table.model, table.source)
    rows: list[dict[str, Any]] = [dict(row) for row in connection.execute(query).mappings()]
    return {(row["model"], row["source"]): row["count"] for row in rows}


def add_kpis(families: Families, connection: Connection, now: datetime) -> None:
    """Both as gauges."""
    for (severity, answer), count in responses(connection, now).items():
        text = "alerts of 30 days by how they were answered"
        families.gauge("modelops_alert_responses_30d", text, count, severity=severity, answer=answer)
    for (model, source), count in trainings(connection, now).items():
        families.gauge("model_trainings_30d", "trainings of 30 days that succeeded", count, model=model, source=source)
