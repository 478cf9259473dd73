"""What other systems deliver, once each: a delivery and the signal that comes of it are written in one transaction.

Two doors lead here: Airflow's asset events (posted through REST by anybody with that right) and MLflow's webhooks. Whoever
delivers the same thing again, because an answer was lost or because a Dag was paused, changes nothing.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from include.lifecycle.database import transaction
from include.lifecycle.decisions.raising import Fact, raise_fact
from include.lifecycle.errors import LifecycleError
from include.lifecycle.rules.view import did_you_mean
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import deliveries

log = logging.getLogger(__name__)
ASSET_EVENT, WEBHOOK, NEW_ROWS = "asset_event", "mlflow_webhook", "new_rows"
OVERLAP = timedelta(hours=1)
"""Events are read again so far back: transactions of Airflow's may become visible later than their time says."""
_KEPT = timedelta(days=90)
_LONGEST_CAUSE, _LONGEST_REASON = 60, 1000


@dataclass(frozen=True)
class ExternalEvent:
    """An asset event as Airflow keeps it: its own key, its wall time, and the `extra` that its sender wrote."""

    key: str
    at: datetime
    extra: dict[str, Any]


class DeliveryRefusedError(LifecycleError):
    """What was delivered asks for a training in words that cannot be read; the message says what is allowed."""


def once(connection: Connection, source: str, delivery_id: str, sent_at: datetime, outcome: str) -> bool:
    """Note a delivery; False when it was noted before. Belongs to the transaction that acts on it."""
    values = {"source": source, "delivery_id": delivery_id, "sent_at": sent_at, "outcome": outcome}
    noted = insert(deliveries).values(values).on_conflict_do_nothing().returning(deliveries.c.delivery_id)
    return connection.execute(noted).first() is not None


def read_from(rt: Runtime) -> datetime | None:
    """Wall time from which asset events are still to be read; None before the first one."""
    newest = select(func.max(deliveries.c.sent_at)).where(deliveries.c.source == ASSET_EVENT)
    with transaction(rt.engine) as connection:
        at = connection.execute(newest).scalar()
    return None if at is None else at - OVERLAP


def take_events(rt: Runtime, events: Iterable[ExternalEvent], models: Collection[str], *, actor: str) -> list[str]:
    """Make each new event a signal of kind `external`; returns the models concerned. An unreadable one is logged and noted.

    Raises:
        SourceUnavailableError: the database did not answer; what was not noted is read again next time.
    """
    concerned = []
    for event in events:
        try:
            fact = external_fact(event.extra, models)
        except DeliveryRefusedError as problem:
            log.error("asset event %s is left out: %s", event.key, problem)
            with transaction(rt.engine) as connection:
                once(connection, ASSET_EVENT, event.key, event.at, f"refused: {problem}")
            continue
        with transaction(rt.engine) as connection:
            if once(connection, ASSET_EVENT, event.key, event.at, f"signal {fact.cause} of {fact.model}"):
                raise_fact(rt, connection, fact, actor=actor, adds=True)
                concerned.append(fact.model)
    return sorted(set(concerned))


def external_fact(extra: dict[str, Any], models: Collection[str]) -> Fact:
    """The signal that `{"model", "reason", "cause"}` asks for; DeliveryRefusedError names what is missing or wrong."""
    model, reason = extra.get("model"), extra.get("reason")
    if not isinstance(model, str) or model not in models:
        raise DeliveryRefusedError(f"model: got {model!r}, which is no model{did_you_mean(str(model), list(models))}")
    if not isinstance(reason, str) or not reason.strip():
        raise DeliveryRefusedError(f"reason: got {reason!r}; allowed: a sentence that says why, for the ledger")
    told = storable(reason)[:_LONGEST_REASON]
    cause = f"external:{slug(str(extra.get('cause') or 'request'))}"
    return Fact(model=model, cause=cause, effect=1.0, reason=told, evidence={"said": told})


def storable(text: str) -> str:
    """The text on one line, without what PostgreSQL cannot hold (NUL, half a surrogate pair): it would stop all models."""
    return " ".join(text.encode("utf-8", "replace").decode().replace("\0", " ").split())


def slug(text: str) -> str:
    """A cause as stable text: small letters, digits, `_` and `-`; at most 60 characters, never empty."""
    return re.sub(r"[^a-z0-9_-]+", "_", text.lower()).strip("_")[:_LONGEST_CAUSE] or "request"


def forget_old(connection: Connection, source: str, wall: datetime) -> None:
    """Drop deliveries of this source that are too old to come again. Belongs to the caller's transaction."""
    old = (deliveries.c.source == source) & (deliveries.c.sent_at < wall - _KEPT)
    connection.execute(delete(deliveries).where(old))
