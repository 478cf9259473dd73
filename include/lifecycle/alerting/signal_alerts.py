"""A model's open signals as alerts: raised and ended in the transaction of monitoring that opens and resolves the signals.

One alert per cause, keyed by it. A look that found nothing new changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from include.lifecycle.alerting.kinds import ALERT_KINDS, is_signal
from include.lifecycle.alerting.policy import Finding, severity_of_signal
from include.lifecycle.alerting.raising import AlertNotice, Severity, raise_alert, resolve_alert
from include.lifecycle.monitoring.kinds import DATA_FAULT, DECAY, ESTIMATED_DECAY, column_of
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import alerts, signals, training_requests

PREFIX = "signal:"
LOWEST: Severity = "P3"
_UNDER_WAY = ("awaiting", "open", "claimed")


def tell_signals(connection: Connection, rt: Runtime, spec: ModelSpec, *, actor: str) -> None:
    """Raise an alert for each open signal that is new, was seen again or got worse; resolve those whose signal is over.

    To be called under the model's lock, in the transaction that changed the signals. A signal that a training was requested
    for keeps its alert until that training has ended.
    """
    rows = connection.execute(select(signals).where(_of(spec.name), signals.c.state == "open")).mappings().all()
    standing = {row["key"]: row for row in connection.execute(_standing(spec.name)).mappings()}
    for row in rows:
        notice = _notice(spec, row)
        known = standing.pop(notice.key, None)
        if known is None or known["evidence"].get("seen") != notice.evidence["seen"] or notice.severity < known["severity"]:
            raise_alert(connection, rt, notice, actor=actor)
    busy = _in_training(connection, spec.name) if standing else set()
    for key in standing:
        if (cause := key.removeprefix(PREFIX)) not in busy:
            resolve_alert(connection, rt, spec.name, key, _ending(connection, spec.name, cause), actor=actor)


def source_of(spec: ModelSpec, kind: str, column: str) -> str:
    """What causes of one incident share: the connection that faulty data comes from, the model's column, else the model."""
    if kind == DATA_FAULT and spec.data.connection is not None:
        return f"connection:{spec.data.connection}"
    return f"{spec.name}/{column}" if column else f"{spec.name}/model"


def _notice(spec: ModelSpec, row: RowMapping) -> AlertNotice:
    kind, _, detail = str(row["cause"]).partition(":")
    found = Finding(kind, row["severity"], row["effect"], dict(row["evidence"]), detail)
    seen = {"signal": row["id"], "seen": f"{row['last_seen'].isoformat()} x{row['windows_failed']}", "version": row["version"]}
    numbers = {"effect": row["effect"], "windows_failed": row["windows_failed"], "signal_severity": row["severity"]}
    reason = str(row["evidence"].get("reason") or f"effect {row['effect']:.3g} in {row['windows_failed']} windows")
    about = f"{ALERT_KINDS[kind].title}: {detail}" if detail else ALERT_KINDS[kind].title
    return AlertNotice(
        model=spec.name,
        kind=kind,
        severity=severity_of_signal(spec.alerts, found) if _confirmed(spec, row, found) else LOWEST,
        key=f"{PREFIX}{row['cause']}",
        title=about,
        reason=reason,
        runbook=ALERT_KINDS[kind].runbook,
        source=source_of(spec, kind, column if (column := column_of(row["cause"])) in spec.features.all else ""),
        evidence={**found.evidence, **numbers, **seen},
    )


def _confirmed(spec: ModelSpec, row: RowMapping, found: Finding) -> bool:
    """Whether a decay stood as long as `retraining.confirm` asks for. Its checks err in one window of twenty by design, outside
    the budget of false alarms; benchmarks/false_alarms.py counts about five a quarter of daily windows. Other kinds always are.

    A loss that is surely above `monitoring.performance.concept` needs no second window: hardly any honest one is so far off.
    """
    if row["kind"] not in (DECAY, ESTIMATED_DECAY):
        return True
    if found.lost is not None and found.lost > spec.monitoring.performance.concept:
        return True
    confirm, spanning = spec.retraining.confirm, float(row["evidence"].get("spanning_seconds", 0.0))
    return bool(row["windows_failed"] >= confirm.windows and spanning >= confirm.spanning.total_seconds())


def _of(model: str) -> Any:
    """Signals of the model that are findings: a training that somebody asked for is none."""
    return (signals.c.model == model) & signals.c.kind.in_([kind for kind in ALERT_KINDS if is_signal(kind)])


def _standing(model: str) -> Any:
    mine = (alerts.c.model == model) & (alerts.c.state != "resolved") & alerts.c.key.startswith(PREFIX)
    return select(alerts.c.key, alerts.c.severity, alerts.c.evidence).where(mine).order_by(alerts.c.id)


def _in_training(connection: Connection, model: str) -> set[str]:
    joined = signals.join(training_requests, signals.c.training_request_id == training_requests.c.id)
    query = select(signals.c.cause).select_from(joined).where(signals.c.model == model, signals.c.state == "accepted")
    return set(connection.execute(query.where(training_requests.c.state.in_(_UNDER_WAY))).scalars())


def _ending(connection: Connection, model: str, cause: str) -> str:
    """Why the newest signal of the cause does not stand any more."""
    mine = (signals.c.model == model) & (signals.c.cause == cause)
    newest: Sequence[RowMapping] = (
        connection.execute(
            select(signals.c.state).where(mine, signals.c.id == select(func.max(signals.c.id)).where(mine).scalar_subquery())
        )
        .mappings()
        .all()
    )
    state = newest[0]["state"] if newest else "gone"
    return {"accepted": "a training answered it", "expired": "it is no longer watched"}.get(state, "the newest window is healthy")
