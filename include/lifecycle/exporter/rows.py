"""Signals, trainings, rollouts, traffic, alerts and their messages as metrics: one grouped query each."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select

from include.lifecycle.exporter.families import Families
from include.lifecycle.rollout.states import OPEN_STATES
from include.lifecycle.tables import alert_messages, alerts, automation, desired_traffic, rollouts, signals, training_requests

_ENDED = ("done", "failed")


def add_signals(families: Families, connection: Connection) -> None:
    """Open signals by kind and severity."""
    table = signals.c
    for row in _counted(connection, [table.model, table.kind, table.severity], table.state == "open"):
        families.gauge("model_open_signals", "signals that stand open", row.pop("count"), **row)


def add_trainings(families: Families, connection: Connection, now: datetime) -> None:
    """Trainings that ended, by what asked for them; requests that wait; when the last one succeeded; who is stopped."""
    table = training_requests.c
    for row in _counted(connection, [table.model, table.source, table.state], table.state.in_(_ENDED)):
        count, outcome = row.pop("count"), row.pop("state")
        families.counter("retraining_runs_total", "trainings that ended", count, **row, outcome=outcome)
    for row in _counted(connection, [table.model, table.state], table.state.in_(("awaiting", "open", "claimed"))):
        families.gauge("model_training_requests", "training requests that wait or run", row.pop("count"), **row)
    last = select(table.model, func.max(table.requested_at).label("at")).where(table.state == "done").group_by(table.model)
    for found in connection.execute(last).mappings():
        age = (now - found["at"]).total_seconds()
        families.gauge(
            "model_last_training_age_seconds", "event time since the last training was asked for", age, model=found["model"]
        )
    for found in connection.execute(select(automation)).mappings():
        stopped = found["state"] == "stopped"
        families.gauge("model_automation_stopped", "1 while a person stopped training", stopped, model=found["model"])


def add_rollouts(families: Families, connection: Connection) -> None:
    """Open rollouts by state, closed ones by outcome, and the traffic that is wanted."""
    table = rollouts.c
    for row in _counted(connection, [table.model, table.version, table.strategy, table.state], table.state.in_(OPEN_STATES)):
        families.gauge("model_rollouts", "open rollouts", row.pop("count"), **row)
    for row in _counted(connection, [table.model, table.strategy, table.state], table.state.not_in(OPEN_STATES)):
        count, outcome = row.pop("count"), row.pop("state")
        families.counter("model_rollouts_total", "rollouts that ended", count, **row, outcome=outcome)
    for found in connection.execute(select(desired_traffic)).mappings():
        champion = found["champion"]
        families.gauge("model_champion", "version that is champion", champion, model=found["model"])
        for version, percent in found["weights"].items():
            role = "champion" if champion is not None and int(version) == champion else "challenger"
            text = "share of the traffic that is wanted, in percent"
            families.gauge("model_traffic_percent", text, percent, model=found["model"], version=version, role=role)


def add_alerts(families: Families, connection: Connection, wall_now: datetime) -> None:
    """Alerts by severity that are not resolved, alerts ever raised, and messages by channel."""
    table, message = alerts.c, alert_messages.c
    for row in _counted(connection, [table.model, table.kind, table.severity, table.state], table.state != "resolved"):
        families.gauge("model_alerts", "alerts that are not resolved", row.pop("count"), **row)
    for row in _counted(connection, [table.model, table.severity]):
        families.counter("model_alerts_total", "alerts that were raised", row.pop("count"), **row)
    for row in _counted(connection, [message.channel, message.state]):
        families.gauge("modelops_alert_messages", "alert messages by state", row.pop("count"), **row)
    untold = message.state.in_(("waiting", "sending")) | ((message.state == "failed") & (table.state == "open"))
    joined = alert_messages.join(alerts, message.alert_id == table.id)
    waiting = select(message.channel, func.min(message.wall_at).label("at")).select_from(joined).where(untold)
    for found in connection.execute(waiting.group_by(message.channel)).mappings():
        text = "wall time that the oldest message has waited"
        age = (wall_now - found["at"]).total_seconds()
        families.gauge("modelops_alert_message_age_seconds", text, age, channel=found["channel"])
    oldest = connection.execute(select(func.min(table.wall_at)).where(table.pending, table.state == "open")).scalar()
    text = "wall time since the oldest open alert was raised of which nobody decided yet whom to tell"
    families.gauge("modelops_alert_pending_age_seconds", text, 0 if oldest is None else (wall_now - oldest).total_seconds())


def _counted(connection: Connection, columns: list[Any], where: Any = None) -> list[dict[str, Any]]:
    """Rows of {column: value, ..., "count": n}."""
    query: Select[Any] = select(*columns, func.count().label("count")).group_by(*columns)
    return [dict(row) for row in connection.execute(query if where is None else query.where(where)).mappings()]
