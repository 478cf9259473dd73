"""KPIs of the last 30 days from rows: alerts answered in the time of their severity, and trainings by what asked for them.

Uptime and pipeline success are Prometheus' recording rules (docker/prometheus/rules/recording.yml): rows do not know them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, func, select

from include.lifecycle.alerting.listing import answers
from include.lifecycle.alerting.policy import Policies
from include.lifecycle.exporter.families import Families
from include.lifecycle.tables import training_requests

_SPAN = timedelta(days=30)


def add_kpis(families: Families, connection: Connection, now: datetime, policies: Policies) -> None:
    """Both as gauges; `now` is event time. An alert that still has time to be answered counts nowhere."""
    wall = datetime.now(UTC)
    for row in answers(connection, policies, wall - _SPAN, wall):
        text = "alerts of 30 days that were, and were not, answered in time"
        for answer, count in (("in_time", row.in_time), ("late", row.late)):
            families.gauge("modelops_alert_responses_30d", text, count, severity=row.severity, answer=answer)
    for (model, source), count in trainings(connection, now).items():
        families.gauge("model_trainings_30d", "trainings of 30 days that succeeded", count, model=model, source=source)


def trainings(connection: Connection, now: datetime, span: timedelta = _SPAN) -> dict[tuple[str, str], int]:
    """How many trainings of `span` (event time) succeeded, by (model, what asked for it)."""
    table = training_requests.c
    query = select(table.model, table.source, func.count().label("count")).where(table.state == "done")
    query = query.where(table.requested_at > now - span).group_by(table.model, table.source)
    return {(row["model"], row["source"]): int(row["count"]) for row in connection.execute(query).mappings()}
