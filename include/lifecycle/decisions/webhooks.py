"""MLflow's webhooks: is this delivery MLflow's, fresh and new, and does it ask for a training?

MLflow signs `<delivery id>.<timestamp>.<body>` with HMAC-SHA256 under a shared secret (mlflow/webhooks/delivery.py, after
https://www.standardwebhooks.com). The tag `retrain` on a model version asks for a training, its value says why; other events are
noted only. A version that our own training registers is among those, so a training never asks for the next one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from include.lifecycle.database import transaction
from include.lifecycle.decisions.deliveries import WEBHOOK, forget_old, once, slug, storable
from include.lifecycle.decisions.raising import Fact, raise_fact
from include.lifecycle.errors import LifecycleError
from include.lifecycle.runtime import Runtime
from include.lifecycle.shared_secret import read_shared_secret

SIGNATURE, TIMESTAMP, DELIVERY = "x-mlflow-signature", "x-mlflow-timestamp", "x-mlflow-delivery-id"
FRESH = timedelta(minutes=5)
"""A delivery whose timestamp is further from now than this, either way, is refused."""
TAG = "retrain"
ACTOR = "mlflow:webhook"


class WebhookRefusedError(LifecycleError):
    """The delivery is not signed (`unsigned`), or its signature is wrong, stale or was seen before."""

    def __init__(self, message: str, *, unsigned: bool = False) -> None:
        super().__init__(message)
        self.unsigned = unsigned


@dataclass(frozen=True)
class Delivery:
    """A delivery whose signature was right."""

    delivery_id: str
    sent_at: datetime
    payload: dict[str, Any]


def read_secret(file: Path) -> str:
    """The shared secret from its file. SettingsError (the file's name, never its content) when it cannot be used."""
    return read_shared_secret(file, "MODELOPS_WEBHOOK_SECRET_FILE", "no webhook is accepted")


def unsigned(headers: Mapping[str, str]) -> bool:
    """Whether a delivery carries no signature at all; such a one is refused before anything else is looked at."""
    return any(not headers.get(name) for name in (SIGNATURE, TIMESTAMP, DELIVERY))


def verify(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> Delivery:
    """The delivery, if `secret` signed exactly this body within FRESH of the wall time `now`. Header names in small letters.

    Raises:
        WebhookRefusedError: unsigned, wrong or stale. The comparison takes the same time wherever signatures differ.
    """
    if unsigned(headers):
        raise WebhookRefusedError(f"not signed; expected the headers {SIGNATURE}, {TIMESTAMP} and {DELIVERY}", unsigned=True)
    delivery_id, timestamp = headers[DELIVERY], headers[TIMESTAMP]
    signed = b".".join((delivery_id.encode(), timestamp.encode(), body))
    digest = base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
    offered = headers[SIGNATURE].split(" ")
    if not any(hmac.compare_digest(f"v1,{digest}".encode(), one.encode()) for one in offered):
        raise WebhookRefusedError("the signature is wrong")
    sent_at = _sent_at(timestamp)
    if abs(now - sent_at) > FRESH:
        raise WebhookRefusedError(f"sent at {sent_at:%Y-%m-%d %H:%M:%S} UTC, which is more than {FRESH} from now")
    return Delivery(delivery_id, sent_at, _payload(body))


def take_delivery(rt: Runtime, delivery: Delivery, models: Collection[str]) -> str | None:
    """Write the delivery and the signal that it asks for, in one transaction; the model concerned, None for an event that asks
    for nothing.

    Raises:
        WebhookRefusedError: this delivery was taken before.
        SourceUnavailableError: the database did not answer; nothing is written, and the same delivery may come again.
    """
    fact = requested(delivery.payload, models)
    outcome = f"signal {fact.cause} of {fact.model}" if fact else "asks for nothing"
    with transaction(rt.engine) as connection:
        if not once(connection, WEBHOOK, delivery.delivery_id, delivery.sent_at, outcome):
            raise WebhookRefusedError(f"delivery {delivery.delivery_id} was taken before")
        forget_old(connection, WEBHOOK, datetime.now(UTC))
        if fact is not None:
            raise_fact(rt, connection, fact, actor=ACTOR, adds=True)
    return fact.model if fact else None


def requested(payload: dict[str, Any], models: Collection[str]) -> Fact | None:
    """The signal of a payload: the tag `retrain` was set on a version of one of our models; None for everything else."""
    data = payload.get("data")
    if (payload.get("entity"), payload.get("action")) != ("model_version_tag", "set") or not isinstance(data, dict):
        return None
    if data.get("key") != TAG or data.get("name") not in models:
        return None
    reason, version = storable(str(data.get("value") or ""))[:1000] or "no reason was given", storable(str(data.get("version")))
    told = f"tag {TAG} on version {version} in MLflow: {reason}"
    evidence = {"version": version, "said": reason}
    return Fact(model=str(data["name"]), cause=f"external:{slug('mlflow_' + TAG)}", effect=1.0, reason=told, evidence=evidence)


def _sent_at(timestamp: str) -> datetime:
    try:
        return datetime.fromtimestamp(int(timestamp), UTC)
    except (ValueError, OverflowError, OSError):
        raise WebhookRefusedError(f"timestamp {timestamp[:40]!r} is no number of seconds since 1970") from None


def _payload(body: bytes) -> dict[str, Any]:
    try:
        payload = json.loads(body)
    except ValueError:
        payload = None
    if not isinstance(payload, dict):
        raise WebhookRefusedError("the body is no JSON object")
    return payload
