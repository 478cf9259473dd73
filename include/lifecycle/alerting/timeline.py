"""The page of an incident: what was seen, who was told, who answered, what was decided, in one line of time. Written when a P0 or
P1 closes, from ledger, alerts and messages; nothing is remembered by hand.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, select, update

from include.lifecycle.alerting.kinds import LEVELS
from include.lifecycle.alerting.messages import TIMELINE_FOR
from include.lifecycle.database import transaction
from include.lifecycle.reporting.page import Block, Paragraph, Part, Table, to_html
from include.lifecycle.runtime import Runtime
from include.lifecycle.storage import write_whole
from include.lifecycle.tables import alert_messages, alerts, incidents, ledger

_BEFORE = timedelta(hours=2)  # wall time of the ledger before the first alert that the page shows, too
_KINDS = ("decision", "rollout", "rollback", "promotion", "freeze", "training", "signal", "approval", "foreign_change", "alert")
_MOST = 400


def write_timelines(rt: Runtime, closed: Iterable[RowMapping]) -> list[str]:
    """Write the page of every closed P0 and P1, and note its name with the incident; again, the same file."""
    written = []
    for incident in closed:
        if incident["severity"] not in TIMELINE_FOR:
            continue
        with transaction(rt.engine) as connection:
            text = timeline_page(connection, incident)
        name = f"incident-{incident['id']}.html"
        write_whole(rt.storage.reports(incident["model"]) / name, text)
        with transaction(rt.engine) as connection:
            connection.execute(update(incidents).where(incidents.c.id == incident["id"]).values(timeline=name))
        written.append(name)
    return written


def unwritten(connection: Connection) -> list[RowMapping]:
    """Closed incidents whose page is missing: a process that died between closing and writing leaves one."""
    wanted = (incidents.c.state == "closed") & incidents.c.timeline.is_(None) & incidents.c.severity.in_(TIMELINE_FOR)
    return list(connection.execute(select(incidents).where(wanted).order_by(incidents.c.id)).mappings())


def timeline_page(connection: Connection, incident: RowMapping) -> str:
    """The page as HTML; wall times, since people live by them."""
    rows = connection.execute(select(alerts).where(alerts.c.incident_id == incident["id"]).order_by(alerts.c.id)).mappings().all()
    events = sorted([*_alert_events(rows), *_messages(connection, rows), *_ledger(connection, rows)], key=lambda one: one[0])
    table = Table(("Wall time (UTC)", "What", "Who", "Words"), [(_at(at), *rest) for at, *rest in events])
    parts = [
        Part("What happened", [Paragraph(_summary(incident, rows))]),
        Part("Alerts", [_alerts_table(rows)]),
        Part("Timeline", [table]),
    ]
    return to_html(f"Incident {incident['id']}: {incident['title']}", parts)


def _summary(incident: RowMapping, rows: Iterable[RowMapping]) -> str:
    found = list(rows)
    first = min(row["wall_at"] for row in found)
    answered = [row["answered_wall_at"] for row in found if row["answered_wall_at"]]
    taken = f"answered after {_length(min(answered) - first)}" if answered else "never answered"
    models = ", ".join(sorted({row["model"] for row in found}))
    closed = incident["closed_at"]
    until = f" to {_at(closed)}" if closed else ""
    return (
        f"Severity {incident['severity']} ({LEVELS[incident['severity']]}), source {incident['source']}, {models}: "
        f"{len(found)} alerts, {taken}. Event time from {_at(incident['opened_at'])}{until}."
    )


def _alerts_table(rows: Iterable[RowMapping]) -> Block:
    head = ("Alert", "Severity", "Model", "Title", "Seen", "Reason", "Taken by")
    lines = [
        (
            str(row["id"]),
            row["severity"],
            row["model"],
            row["title"],
            str(row["count"]),
            row["reason"],
            row["acknowledged_by"] or "-",
        )
        for row in rows
    ]
    return Table(head, lines)


def _alert_events(rows: Iterable[RowMapping]) -> list[tuple[Any, ...]]:
    return [(row["wall_at"], f"alert {row['id']} raised", "monitoring", f"{row['title']}: {row['reason']}") for row in rows]


def _messages(connection: Connection, rows: Iterable[RowMapping]) -> list[tuple[Any, ...]]:
    numbers = [row["id"] for row in rows]
    query = select(alert_messages).where(alert_messages.c.alert_id.in_(numbers), alert_messages.c.channel != "log")
    found = []
    for row in connection.execute(query).mappings():
        told = row["error"] if row["state"] == "failed" else f"alert {row['alert_id']}"
        found.append((row["sent_wall_at"] or row["wall_at"], f"{row['event']} {row['state']}", row["channel"], told))
    return found


def _ledger(connection: Connection, rows: Iterable[RowMapping]) -> list[tuple[Any, ...]]:
    """What was decided and done about these models meanwhile. Messages and raisings stand above already."""
    found = list(rows)
    models, start = {row["model"] for row in found}, min(row["wall_at"] for row in found) - _BEFORE
    query = select(ledger).where(ledger.c.model.in_(models), ledger.c.wall_at >= start, ledger.c.kind.in_(_KINDS))
    query = query.where(ledger.c.act.not_like("raise alert%"), ledger.c.phase != "intended").order_by(ledger.c.id).limit(_MOST)
    return [
        (row["wall_at"], f"{row['kind']}: {row['act']}", row["actor"], row["reason"])
        for row in connection.execute(query).mappings()
    ]


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _length(length: timedelta) -> str:
    minutes, seconds = divmod(int(length.total_seconds()), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {seconds} s"
