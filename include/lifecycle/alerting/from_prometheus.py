"""Alerts of Prometheus' rules as rows: what Alertmanager delivers is raised, counted again or resolved like any other alert.

So who is told, and who next, says the model's YAML for these, too. Payload: version 4,
https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from include.lifecycle.alerting.kinds import ALERT, ALERT_KINDS, PLATFORM, is_signal
from include.lifecycle.alerting.raising import AlertNotice, Severity, raise_alert, resolve_alert
from include.lifecycle.database import transaction
from include.lifecycle.decisions.deliveries import storable
from include.lifecycle.errors import LifecycleError
from include.lifecycle.runtime import Runtime

ACTOR = "alertmanager"
MOST = 200
"""Alerts of one call that are taken; our Alertmanager sends no more (max_alerts)."""

_SEVERITIES: dict[str, Severity] = {"P0": "P0", "P1": "P1", "P2": "P2", "P3": "P3"}
_BY_WORD: dict[str, Severity] = {"critical": "P1", "page": "P1", "warning": "P2", "info": "P3"}
_LONGEST_NAME, _LONGEST_TEXT = 63, 1000


class PayloadRefusedError(LifecycleError):
    """The body is not what Alertmanager sends."""


@dataclass(frozen=True)
class PrometheusAlert:
    """One alert of a call; `firing` or over."""

    notice: AlertNotice
    firing: bool


def read_payload(body: bytes) -> list[PrometheusAlert]:
    """The alerts of a call of Alertmanager's, at most `MOST`; PayloadRefusedError when the body is none."""
    try:
        alerts = json.loads(body)["alerts"]
    except (ValueError, KeyError, TypeError):
        alerts = None
    if not isinstance(alerts, list):
        raise PayloadRefusedError("the body is no JSON object with a list `alerts`")
    found = [_alert(one) for one in alerts[:MOST] if isinstance(one, dict)]
    return [one for one in found if one is not None]


def take_alerts(rt: Runtime, alerts: list[PrometheusAlert]) -> dict[str, int]:
    """Raise what fires, resolve what is over; how many of each. Taken again it counts again, and opens no second row.

    Each alert has a transaction of its own: a call that broke half-way is repeated by Alertmanager.
    """
    told = {"raised": 0, "resolved": 0}
    for alert in alerts:
        notice = alert.notice
        with transaction(rt.engine) as connection:
            if alert.firing:
                raise_alert(connection, rt, notice, actor=ACTOR)
                told["raised"] += 1
            elif resolve_alert(connection, rt, notice.model, notice.key, f"{notice.title}: over", actor=ACTOR) is not None:
                told["resolved"] += 1
    return told


def _alert(raw: dict[str, Any]) -> PrometheusAlert | None:
    """None for what has no name or neither fires nor is over."""
    labels, notes = _texts(raw.get("labels")), _texts(raw.get("annotations"))
    name, status = labels.get("alertname", "")[:_LONGEST_NAME], raw.get("status")
    if not name or status not in ("firing", "resolved"):
        return None
    title = notes.get("summary") or name
    notice = AlertNotice(
        model=labels.get("model", PLATFORM)[:_LONGEST_NAME] or PLATFORM,
        kind=_kind(labels.get("kind", "")),
        severity=_severity(labels),
        key=f"prometheus:{name}:{_identity(raw, labels)}",
        title=title,
        reason=notes.get("description") or title,
        runbook=_runbook(notes),
        evidence={
            "rule": name,
            "labels": labels,
            "since": storable(str(raw.get("startsAt", "")))[:_LONGEST_NAME],
            "query": storable(str(raw.get("generatorURL", "")))[:_LONGEST_TEXT],
        },
    )
    return PrometheusAlert(notice, status == "firing")


def _texts(raw: Any) -> dict[str, str]:
    pairs = raw.items() if isinstance(raw, dict) else ()
    return {storable(str(name))[:_LONGEST_NAME]: storable(str(value))[:_LONGEST_TEXT] for name, value in pairs}


def _runbook(notes: dict[str, str]) -> str | None:
    """A section of our runbooks, or another system's own page (annotation `runbook`, or `runbook_url` as usual)."""
    named = notes.get("runbook") or notes.get("runbook_url") or ""
    return named if "://" in named else named.partition("#")[2] or None


def _kind(label: str) -> str:
    """A rule may name a kind of alert; not one of monitoring's signals, since those end with their signal."""
    return label if label in ALERT_KINDS and not is_signal(label) else ALERT


def _severity(labels: dict[str, str]) -> Severity:
    """Label `priority` (P0 to P3), else what the word in `severity` usually means, else P2."""
    named = _SEVERITIES.get(labels.get("priority", ""))
    return named or _BY_WORD.get(labels.get("severity", "").lower(), "P2")


def _identity(raw: dict[str, Any], labels: dict[str, str]) -> str:
    """Alertmanager's fingerprint of the labels, the same from firing to end."""
    mark = str(raw.get("fingerprint") or json.dumps(labels, sort_keys=True))
    return hashlib.sha256(mark.encode("utf-8", "replace")).hexdigest()[:16]
