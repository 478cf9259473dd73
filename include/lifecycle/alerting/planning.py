"""Which messages an alert's change asks for: rows that outbox.py hands to the channels. Escalates what nobody answered.

Called by the Dag `alerts`. One planner works at a time; killed, its transaction never was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, select, update
from sqlalchemy.dialects.postgresql import insert

from include.lifecycle.alerting.incidents import (
    channels_told,
    close_incident,
    join_incident,
    standing_of,
    told_already,
)
from include.lifecycle.alerting.policy import Policies, channels_of, next_level
from include.lifecycle.database import lock_model, transaction
from include.lifecycle.ledger import Entry
from include.lifecycle.runtime import Runtime
from include.lifecycle.sections.alerts import AlertsSection
from include.lifecycle.tables import alert_messages, alerts

ACTOR = "alerts"
PLANNING = "alerts:planning"
"""The lock that is held while incidents get alerts or lose them."""
_BATCH = 500
_QUIET_END = ("phone",)  # nobody is called to hear that it is over
_QUIET_ANSWER = ("phone", "sms")


@dataclass(frozen=True)
class Planned:
    """What one look did: messages written, alerts escalated, and incidents that closed."""

    messages: int = 0
    escalated: int = 0
    closed: tuple[RowMapping, ...] = ()

    def __add__(self, other: Planned) -> Planned:
        return Planned(self.messages + other.messages, self.escalated + other.escalated, self.closed + other.closed)


def plan_messages(rt: Runtime, policies: Policies, wall: datetime) -> Planned:
    """Plan for every alert that changed, then escalate what is overdue at `wall` (wall time)."""
    planned = Planned()
    while True:
        with transaction(rt.engine) as connection:
            lock_model(connection, PLANNING)
            rows = _pending(connection)
            for row in rows:
                planned += _Plan(connection, rt, policies(row["model"]), row, wall).changed()
        if len(rows) < _BATCH:
            break
    with transaction(rt.engine) as connection:
        lock_model(connection, PLANNING)
        overdue = select(alerts).where(alerts.c.state == "open", alerts.c.escalate_wall_at <= wall).order_by(alerts.c.id)
        for row in connection.execute(overdue.with_for_update(skip_locked=True)).mappings().all():
            planned += _Plan(connection, rt, policies(row["model"]), row, wall).overdue()
    return planned


@dataclass(frozen=True)
class _Plan:
    """One alert that changed, or that nobody answered."""

    connection: Connection
    rt: Runtime
    policy: AlertsSection
    row: RowMapping
    wall: datetime

    def changed(self) -> Planned:
        """Tell what is new about it."""
        self._set(pending=False)
        if self.row["state"] == "resolved":
            return self._resolved()
        incident = join_incident(self.connection, self.row, self.policy.incident_within)
        if self.row["state"] == "acknowledged":
            return Planned(self._tell_told(incident, "acknowledged", _QUIET_ANSWER))
        levels = range(self.row["level"] + 1)
        channels = {channel for level in levels for channel in channels_of(self.policy, self.row["severity"], level)}
        if told := told_already(self.connection, incident, self.row):
            strangers = channels - channels_told(self.connection, incident).keys()  # of this model's people, not of the others'
            return Planned(0 if self.row["model"] in told else self._tell(sorted(strangers), "raised"))
        known = select(alert_messages.c.id).where(alert_messages.c.alert_id == self.row["id"]).limit(1)
        event = "raised" if self.connection.execute(known).first() is None else f"worse:{self.row['severity']}"
        self._set(escalate_wall_at=self.wall + self._patience())
        return Planned(self._tell(sorted(channels), event))

    def overdue(self) -> Planned:
        """Tell the next one of the chain; after the last, the ledger says that nobody is left."""
        level = next_level(self.policy, self.row["severity"], self.row["level"])
        if level is None:
            self._set(escalate_wall_at=None)
            self._note("nobody is left to escalate to", "everybody in the chain was told")
            return Planned()
        role = getattr(self.policy.escalation, self.row["severity"])[level]
        self._set(level=level, escalate_wall_at=self.wall + self._patience())
        self._note(f"escalate to {role}", f"nobody answered in time: {self.row['title']}")
        return Planned(self._tell(channels_of(self.policy, self.row["severity"], level), "escalated", level), escalated=1)

    def _resolved(self) -> Planned:
        """Say that the incident is over when no alert of it stands; else hand its clock on to one that does."""
        incident = self.row["incident_id"]
        if incident is None:  # it was over before anybody was told
            return Planned()
        if left := standing_of(self.connection, incident):
            worst = [one for one in left if one["severity"] == left[0]["severity"]]  # a smaller one's answer is none to these
            if not any(one["escalate_wall_at"] or one["state"] == "acknowledged" for one in worst):
                lead = alerts.c.id == left[0]["id"]
                due = {"escalate_wall_at": self.wall + self._patience(), "level": self.row["level"]}
                self.connection.execute(update(alerts).where(lead).values(due))
            return Planned()
        sent = self._tell_told(incident, "resolved", _QUIET_END)
        return Planned(sent, closed=(close_incident(self.connection, self.rt, incident),))

    def _patience(self) -> timedelta:
        found: timedelta = getattr(self.policy.respond_within, self.row["severity"])
        return found

    def _tell_told(self, incident: int, event: str, but: Sequence[str]) -> int:
        told = channels_told(self.connection, incident)
        wanted = {channel: alert for channel, alert in told.items() if channel.partition(":")[0] not in but}
        return sum(self._tell([channel], event, alert=alert) for channel, alert in sorted(wanted.items()))

    def _tell(self, channels: Iterable[str], event: str, level: int = 0, alert: int | None = None) -> int:
        rows = [
            {"alert_id": alert or self.row["id"], "channel": channel, "event": event, "level": level}
            for channel in channels
            if self.row["key"] != f"delivery:{channel}"  # a channel that does not work is not asked to say so
        ]
        if not rows:
            return 0
        written = insert(alert_messages).values(rows).on_conflict_do_nothing(constraint="alert_messages_once")
        return int(self.connection.execute(written).rowcount)

    def _set(self, **values: Any) -> None:
        self.connection.execute(update(alerts).where(alerts.c.id == self.row["id"]).values(values))

    def _note(self, act: str, reason: str) -> None:
        evidence = {"alert": self.row["id"], "severity": self.row["severity"], "key": self.row["key"], "level": self.row["level"]}
        entry = Entry(model=self.row["model"], kind="alert", act=act, reason=reason, actor=ACTOR, evidence=evidence)
        self.rt.ledger.write(entry, self.connection)


def _pending(connection: Connection) -> Sequence[RowMapping]:
    query = select(alerts).where(alerts.c.pending).order_by(alerts.c.id).limit(_BATCH).with_for_update(skip_locked=True)
    return connection.execute(query).mappings().all()
