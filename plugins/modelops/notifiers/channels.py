"""Sends parcels, all at once, each within its own time: a channel that hangs keeps nobody else waiting, and no process alive.

The connection's type says which module sends. Connections are read first and here, since Airflow answers one thread only.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException

from include.lifecycle.alerting.messages import Message
from include.lifecycle.alerting.outbox import Parcel
from include.lifecycle.alerting.policy import LOG
from include.lifecycle.errors import LifecycleError, SettingsError

log = logging.getLogger(__name__)
TYPES = ("slackwebhook", "smtp", "pagerduty_events", "apprise")
_LEVELS = {"CRITICAL": logging.CRITICAL, "WARNING": logging.WARNING, "INFO": logging.INFO}
_SLACK_OF_TIME = 1.0  # seconds beside the channel's own timeout


def send_parcels(parcels: Sequence[Parcel]) -> list[str | None]:
    """Per parcel None, or why it was not sent. Parcels of one channel go one after the other, channels beside each other."""
    outcomes: list[str | None] = ["not sent"] * len(parcels)
    by_channel: dict[str, list[int]] = {}
    for index, parcel in enumerate(parcels):
        if parcel.medium == LOG:
            _log(parcel.message)
            outcomes[index] = None
        else:
            by_channel.setdefault(parcel.channel, []).append(index)
    results: queue.SimpleQueue[tuple[int, str | None]] = queue.SimpleQueue()
    waiting: dict[int, float] = {}
    for channel, indexes in by_channel.items():
        first = parcels[indexes[0]]
        try:
            connection = _connection(first.connection)
            sender = sender_of(connection, first.medium)
        except (LifecycleError, AirflowException) as problem:
            outcomes = [_words(problem) if index in indexes else told for index, told in enumerate(outcomes)]
            continue
        waiting |= dict.fromkeys(indexes, time.monotonic() + first.policy.delivery.timeout.total_seconds() + _SLACK_OF_TIME)
        work = [(index, parcels[index]) for index in indexes]
        threading.Thread(
            target=_send_all, args=(sender, str(connection.password or ""), work, results), name=f"alerts {channel}", daemon=True
        ).start()
    for index, told in _gather(results, waiting).items():
        outcomes[index] = told
    return outcomes


def sender_of(connection: Any, medium: str) -> Callable[[Message, float], None]:
    """A function (message, seconds) that sends through this connection; SettingsError for a type that tells nobody."""
    from modelops.notifiers import by_apprise, email, pagerduty, slack

    if connection.conn_type == "apprise":
        return partial(by_apprise.send, connection, medium=medium)
    modules = {"slackwebhook": slack, "smtp": email, "pagerduty_events": pagerduty}
    if connection.conn_type not in modules:
        raise SettingsError(
            f"connection {connection.conn_id!r} has type {connection.conn_type!r}; alerts need one of {', '.join(TYPES)}"
        )
    return partial(modules[connection.conn_type].send, connection)


def _send_all(
    sender: Callable[[Message, float], None],
    secret: str,
    work: Sequence[tuple[int, Parcel]],
    results: queue.SimpleQueue[tuple[int, str | None]],
) -> None:
    for index, parcel in work:
        try:
            sender(parcel.message, parcel.policy.delivery.timeout.total_seconds())
        except Exception as problem:  # noqa: BLE001 - any library's; it is told in the outbox and tried again
            results.put((index, _words(problem, secret)))
        else:
            results.put((index, None))


def _gather(results: queue.SimpleQueue[tuple[int, str | None]], waiting: dict[int, float]) -> dict[int, str | None]:
    """What was answered in time. Each answer gives the other parcels of its channel no more time: they share one deadline."""
    found: dict[int, str | None] = {}
    while left := {index: until for index, until in waiting.items() if index not in found}:
        try:
            index, told = results.get(timeout=max(0.0, max(left.values()) - time.monotonic()))
        except queue.Empty:
            return found | dict.fromkeys(left, "the channel did not answer in its time (alerts.delivery.timeout)")
        found[index] = told
    return found


def _log(message: Message) -> None:
    log.log(_LEVELS[message.level], "%s | %s", message.subject, message.text().replace("\n", " | "))


def _connection(conn_id: str) -> Any:
    return BaseHook.get_connection(conn_id)


def _words(problem: BaseException, secret: str = "") -> str:
    """Type and first line, without the secret: some libraries tell the whole address, and Slack's holds it."""
    text = str(problem).splitlines()
    told = text[0] if text else ""
    for part in (secret, secret.rpartition("/")[2]):
        told = told.replace(part, "***") if part else told
    return f"{type(problem).__name__}: {told}"[:300]
