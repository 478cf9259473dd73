"""Rollbacks that Prometheus asks for: Alertmanager's webhook, alerts with the labels `action: rollback` and `model`.

One firing asks once, however often Alertmanager repeats it: the run of Dag `rollback` is named by the firing. Payload: version 4,
https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from include.lifecycle.database import transaction
from include.lifecycle.decisions.deliveries import once, storable
from include.lifecycle.errors import LifecycleError
from include.lifecycle.rollout.ways_back.rollback_notes import went_back
from include.lifecycle.runtime import Runtime
from include.lifecycle.shared_secret import read_shared_secret
from include.lifecycle.tables import deliveries

SOURCE = "alertmanager"
_MOST = 200  # alerts of one call that are looked at


class AlertRefusedError(LifecycleError):
    """The call shows no token (`unsigned`), a wrong one, or is not what Alertmanager sends."""

    def __init__(self, message: str, *, unsigned: bool = False) -> None:
        super().__init__(message)
        self.unsigned = unsigned


@dataclass(frozen=True)
class RollbackAlert:
    """One firing that asks for a rollback; `run_id` is the same at each repetition. `version`: the one that it complains of."""

    model: str
    version: int | None
    reason: str
    run_id: str
    started: datetime

    @property
    def conf(self) -> dict[str, Any]:
        """What the Dag `rollback` is started with."""
        leaving = "" if self.version is None else str(self.version)
        conf = {"model": self.model, "reason": self.reason, "reason_kind": "incident", "leaving": leaving}
        return conf if self.version is not None else {**conf, "unless_back": True}


def check_token(file: Path, authorization: str | None) -> None:
    """Compare the bearer token with the secret of MODELOPS_ALERT_SECRET_FILE in constant time.

    Raises AlertRefusedError (no token, or a wrong one) and SettingsError (there is no usable secret: nothing is taken).
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise AlertRefusedError("no bearer token", unsigned=True)
    secret = read_shared_secret(file, "MODELOPS_ALERT_SECRET_FILE", "no alert is accepted")
    if not hmac.compare_digest(secret.encode(), token.strip().encode()):
        raise AlertRefusedError("the token is wrong")


def asked_for(body: bytes, models: Collection[str]) -> list[RollbackAlert]:
    """The firing alerts that ask for a rollback of one of `models`; others, and resolved ones, ask for nothing.

    Raises AlertRefusedError when the body is not Alertmanager's.
    """
    try:
        alerts = json.loads(body)["alerts"]
    except (ValueError, KeyError, TypeError):
        alerts = None
    if not isinstance(alerts, list):
        raise AlertRefusedError("the body is no JSON object with a list `alerts`")
    found = [_alert(one, models) for one in alerts[:_MOST] if isinstance(one, dict)]
    return [one for one in found if one is not None]


def taken_before(rt: Runtime, alert: RollbackAlert) -> str:
    """Why this alert starts nothing: it did already, or the model's traffic went back a moment ago; empty when it may.

    After one rollback the rates that an alert watches need minutes to fall: a second one would hit the version that is innocent.
    """
    with transaction(rt.engine) as connection:
        seen = select(deliveries.c.outcome).where(deliveries.c.source == SOURCE, deliveries.c.delivery_id == alert.run_id)
        if (outcome := connection.execute(seen).scalar()) is not None:
            return f"taken before: {outcome}"
        return "" if alert.version is not None else went_back(connection, alert.model, rt.settings.upkeep.alert_cooldown)


def note_taken(rt: Runtime, alert: RollbackAlert, outcome: str) -> None:
    """Remember what became of this firing."""
    with transaction(rt.engine) as connection:
        once(connection, SOURCE, alert.run_id, alert.started, outcome)


def _alert(raw: dict[str, Any], models: Collection[str]) -> RollbackAlert | None:
    labels, notes = raw.get("labels") or {}, raw.get("annotations") or {}
    if raw.get("status") != "firing" or labels.get("action") != "rollback" or labels.get("model") not in models:
        return None
    try:
        started = datetime.fromisoformat(str(raw.get("startsAt")))
    except ValueError:
        return None
    version = str(labels.get("version", ""))
    told = storable(str(notes.get("summary") or notes.get("description") or ""))[:500]
    name = storable(str(labels.get("alertname", "alert")))[:100]
    mark = str(raw.get("fingerprint") or json.dumps(labels, sort_keys=True))
    digest = hashlib.sha256(f"{mark}|{started.isoformat()}".encode()).hexdigest()[:16]
    return RollbackAlert(
        model=str(labels["model"]),
        version=int(version) if version.isascii() and version.isdigit() else None,
        reason=f"alert {name}{f': {told}' if told else ''}",
        run_id=f"alert__{started:%Y%m%dT%H%M%S}__{digest}",
        started=started,
    )
