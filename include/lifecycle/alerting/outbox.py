"""Messages on their way: claimed in a transaction, sent outside it, settled in another. At least once, never lost.

A sender that died leaves its claim to lapse. A channel that fails is tried again with growing pauses; when all attempts failed
that is an alert of its own, told by the other channels. What nobody has taken is tried on, at the longest pause: it may be the
only channel.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, select, update

from include.lifecycle.alerting.kinds import ALERT_KINDS, DELIVERY_FAILED
from include.lifecycle.alerting.messages import Message, folded, message_of
from include.lifecycle.alerting.policy import LOG, Policies, severity_of
from include.lifecycle.alerting.raising import AlertNotice, raise_alert, resolve_alert
from include.lifecycle.database import transaction
from include.lifecycle.runtime import Runtime
from include.lifecycle.sections.alerts import AlertsSection
from include.lifecycle.tables import alert_messages as outbox
from include.lifecycle.tables import alerts, incidents

_MOST = 2000  # rows of one look
_MOST_AT_ONCE = 50  # messages of one look through a channel that is not folded; the others wait for the next
_LEASE = timedelta(minutes=2)  # besides the time that sending may take
_GROUPS_ITSELF = ("pagerduty", LOG)
_LONGEST = 500  # characters of an error
_ENDS_FOR = timedelta(days=1)  # so long it is tried to say that something is over; a call for help as long as it stands
_CALLS = ("raised", "worse", "escalated")


@dataclass(frozen=True)
class Parcel:
    """One message to send through one channel, and the rows of the outbox that it stands for."""

    channel: str
    message: Message
    rows: tuple[dict[str, Any], ...]
    policy: AlertsSection

    @property
    def medium(self) -> str:
        """slack, email, pagerduty, sms, phone, owner or log."""
        return self.channel.partition(":")[0]

    @property
    def connection(self) -> str:
        """Airflow's connection; empty for the log."""
        return self.channel.partition(":")[2]


def claim(rt: Runtime, policies: Policies, wall: datetime) -> list[Parcel]:
    """Claim what is due at `wall`, as parcels, the most urgent first.

    Beyond a channel's bound (alerts.storm) several messages become one, and wait; those of a P0 become one and do not wait.
    """
    with transaction(rt.engine) as connection:
        due = outbox.c.not_before_wall.is_(None) | (outbox.c.not_before_wall <= wall)
        query = select(outbox.c.id, outbox.c.alert_id, outbox.c.channel, outbox.c.event, outbox.c.attempts, *_told())
        query = query.join(alerts, alerts.c.id == outbox.c.alert_id)
        query = query.outerjoin(incidents, incidents.c.id == alerts.c.incident_id)
        query = query.where(outbox.c.state.in_(("waiting", "sending")) | _given_up_too_soon(wall), due)
        query = query.order_by(alerts.c.severity, outbox.c.id).limit(_MOST)  # nothing that waits stands before a P0
        rows = connection.execute(query.with_for_update(of=outbox, skip_locked=True))
        by_channel: dict[str, list[dict[str, Any]]] = {}
        for row in rows.mappings():
            by_channel.setdefault(row["channel"], []).append(dict(row))
        parcels = [
            parcel for channel, found in by_channel.items() for parcel in _parcels(connection, rt, policies, channel, found, wall)
        ]
        for parcel in parcels:
            until = wall + parcel.policy.delivery.timeout + _LEASE
            _mark(connection, parcel.rows, state="sending", not_before_wall=until)
    return parcels


def settle(rt: Runtime, parcel: Parcel, error: str | None, wall: datetime) -> None:
    """Note that the parcel was sent, or why it was not and when it is tried again."""
    with transaction(rt.engine) as connection:
        if error is None:
            values = {"state": "sent", "sent_wall_at": wall, "sent_as": min(row["id"] for row in parcel.rows), "error": None}
            _mark(connection, parcel.rows, **values)
            _works(connection, rt, parcel)
            return
        told, policy, failed = " ".join(error.split())[:_LONGEST], parcel.policy.delivery, []
        for row in parcel.rows:
            attempts = int(row["attempts"]) + 1
            last = attempts >= policy.attempts
            pause = policy.backoff * 2 ** min(attempts - 1, policy.attempts)
            values = {"state": "failed" if last else "waiting", "attempts": attempts, "error": told}
            _mark(connection, [row], **values, not_before_wall=wall + pause)
            failed += [row] if last else []
        _fails(connection, rt, parcel, failed, told)


def _parcels(
    connection: Connection, rt: Runtime, policies: Policies, channel: str, rows: Sequence[dict[str, Any]], wall: datetime
) -> Iterable[Parcel]:
    known = [(row, policies(row["model"])) for row in rows]
    single = [
        Parcel(channel, message_of(row, runbooks=policy.runbooks, base_url=rt.settings.airflow_url), (row,), policy)
        for row, policy in known
    ]
    if channel.partition(":")[0] in _GROUPS_ITSELF:
        return single[:_MOST_AT_ONCE]
    most = min(policy.storm.messages for _, policy in known)
    within = max(policy.storm.within for _, policy in known)
    recent = and_(outbox.c.channel == channel, outbox.c.sent_wall_at > wall - within)
    left = most - int(connection.execute(select(func.count(outbox.c.sent_as.distinct())).where(recent)).scalar_one())
    if left <= 0:
        single, left = [one for one in single if one.message.severity == "P0" and one.message.event in _CALLS], 1
    if len(single) <= left:
        return single
    together = folded([parcel.message for parcel in single])
    return [Parcel(channel, together, tuple(row for parcel in single for row in parcel.rows), single[0].policy)]


def _given_up_too_soon(wall: datetime) -> ColumnElement[bool]:
    """Messages whose attempts all failed, of alerts that nobody has taken; and that something is over, for a day."""
    wanted = (alerts.c.state == "open") | ((outbox.c.event == "resolved") & (outbox.c.wall_at > wall - _ENDS_FOR))
    return (outbox.c.state == "failed") & outbox.c.not_before_wall.is_not(None) & wanted


def _told() -> list[Any]:
    names = ("model", "kind", "severity", "title", "reason", "runbook", "count", "incident_id", "first_seen", "evidence")
    return [*(alerts.c[name] for name in names), incidents.c.model.label("incident_model")]


def _mark(connection: Connection, rows: Sequence[dict[str, Any]], **values: Any) -> None:
    connection.execute(update(outbox).where(outbox.c.id.in_([row["id"] for row in rows])).values(values))


def _works(connection: Connection, rt: Runtime, parcel: Parcel) -> None:
    """Resolve what said that this channel does not work, for every model."""
    standing = select(alerts.c.model).where(alerts.c.key == f"delivery:{parcel.channel}", alerts.c.state != "resolved")
    for model in connection.execute(standing.order_by(alerts.c.model)).scalars().all():
        resolve_alert(connection, rt, model, f"delivery:{parcel.channel}", "a message was delivered again", actor="alerts")


def _fails(connection: Connection, rt: Runtime, parcel: Parcel, failed: Sequence[dict[str, Any]], error: str) -> None:
    row = next((one for one in failed if one["kind"] != DELIVERY_FAILED), None)
    if row is None:  # attempts are left, or the alert that stands already says so
        return
    kind = ALERT_KINDS[DELIVERY_FAILED]
    reason = f"{parcel.channel}: {parcel.policy.delivery.attempts} attempts failed, the last with {error}"
    notice = AlertNotice(
        model=row["model"],
        kind=DELIVERY_FAILED,
        severity=severity_of(parcel.policy, DELIVERY_FAILED),
        key=f"delivery:{parcel.channel}",
        title=kind.title,
        reason=reason,
        runbook=kind.runbook,
        source=f"channel:{parcel.channel}",
        evidence={"channel": parcel.channel, "error": error, "message": row["title"]},
    )
    raise_alert(connection, rt, notice, actor="alerts")
