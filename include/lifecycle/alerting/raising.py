"""Raises and resolves alerts: rows that stand once per model and key, however often their cause is seen. Delivery reads them.

Called by whoever finds something, in the transaction that stores the finding: a finding without its alert cannot be.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, func, select, update

from include.lifecycle.database import lock_model
from include.lifecycle.ledger import Entry
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import alerts

Severity = Literal["P0", "P1", "P2", "P3"]
SEVERITIES: tuple[Severity, ...] = ("P0", "P1", "P2", "P3")  # the most urgent first


class AlertNotice(BaseModel):
    """Something that people should know: `key` tells equal ones of one model, `runbook` names the page's section that helps.

    Those of one `source` (default: the model's own, per kind) that come within a short time are one incident.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    kind: str
    severity: Severity
    key: str
    title: str
    reason: str
    runbook: str | None = None
    source: str = ""
    evidence: dict[str, Any] = {}


def lock_alerts(connection: Connection, model: str) -> None:
    """Hold the lock of the model's alerts until this transaction ends.

    Not the model's own lock, which is held while a slow registry answers: a P0 must not wait for it. Whoever takes both takes
    the model's first.
    """
    lock_model(connection, f"alerts of {model}")


def raise_alert(connection: Connection, rt: Runtime, notice: AlertNotice, *, actor: str) -> int:
    """Open the alert, or count it once more when it stands already; return its id. A more urgent one raises the severity.

    Takes the lock of the model's alerts, so that the same alert from two sides is one. The ledger hears of it when it opens or
    gets worse.
    """
    lock_alerts(connection, notice.model)
    now = rt.clock.now()
    mine = (alerts.c.model == notice.model) & (alerts.c.key == notice.key) & (alerts.c.state != "resolved")
    row = connection.execute(select(alerts).where(mine).with_for_update()).mappings().first()
    fresh = {"reason": notice.reason, "last_seen": now, "evidence": notice.evidence}
    if row is None:
        source = notice.source or f"{notice.model}/{notice.kind}"
        values = notice.model_dump() | {"source": source, "first_seen": now, "last_seen": now}
        alert_id = int(connection.execute(alerts.insert().values(values).returning(alerts.c.id)).scalar_one())
        _note(connection, rt, notice, alert_id, "raise alert", actor)
        return alert_id
    worse = SEVERITIES.index(notice.severity) < SEVERITIES.index(row["severity"])
    if worse:
        fresh |= {"severity": notice.severity, "title": notice.title, "state": "open", "pending": True}
        _note(connection, rt, notice, row["id"], f"raise alert to {notice.severity}", actor)
    connection.execute(update(alerts).where(alerts.c.id == row["id"]).values(fresh | {"count": row["count"] + 1}))
    return int(row["id"])


def resolve_alert(connection: Connection, rt: Runtime, model: str, key: str, reason: str, *, actor: str) -> int | None:
    """Resolve the standing alert of that key, and return its id; None when there is none."""
    lock_alerts(connection, model)
    mine = (alerts.c.model == model) & (alerts.c.key == key) & (alerts.c.state != "resolved")
    values = {"state": "resolved", "resolved_at": rt.clock.now(), "escalate_wall_at": None, "pending": True}
    values["answered_wall_at"] = func.coalesce(alerts.c.answered_wall_at, func.now())
    found = connection.execute(update(alerts).where(mine).values(values).returning(alerts.c.id, alerts.c.kind)).mappings().first()
    if found is None:
        return None
    entry = Entry(
        model=model, kind="alert", act="resolve alert", reason=reason, actor=actor, evidence={"alert": found["id"], "key": key}
    )
    rt.ledger.write(entry, connection)
    return int(found["id"])


def _note(connection: Connection, rt: Runtime, notice: AlertNotice, alert_id: int, act: str, actor: str) -> None:
    evidence = {"alert": alert_id, "severity": notice.severity, "key": notice.key, "kind": notice.kind} | notice.evidence
    reason = f"{notice.title}: {notice.reason}"
    rt.ledger.write(Entry(model=notice.model, kind="alert", act=act, reason=reason, actor=actor, evidence=evidence), connection)
