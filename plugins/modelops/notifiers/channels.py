"""Sends parcels, all at once, each within its own time: a channel that hangs keeps nobody else waiting, and no process alive.

The connection's type says which module sends. Connections are read first and here, since Airflow answers one thread only.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from airflow.sdk import BaseHook

from include.lifecycle.alerting.messages import Message
from include.lifecycle.alerting.outbox import Parcel
from include.lifecycle.alerting.policy import LOG
from include.lifecycle.errors import SettingsError

log = logging.getLogger(__name__)
TYPES = ("slackwebhook", "smtp", "pagerduty_events", "apprise")
_LEVELS = {"CRITICAL": logging.CRITICAL, "WARNING": logging.WARNING, "INFO": logging.INFO}
_SLACK_OF_TIME = 1.0  # seconds beside the channel's own timeout
_MOST_TIMEOUTS = 3  # of one channel in one look

Results = queue.SimpleQueue[tuple[int, str | None]]


@dataclass
class _Channel:
    """The parcels of one channel under way, its timeout in seconds, and when it last answered, or was started."""

    indexes: set[int]
    timeout: float
    began: float
    moved: float = 0.0

    @property
    def until(self) -> float:
        """When it is given up."""
        return min(max(self.began, self.moved) + self.timeout, self.began + _MOST_TIMEOUTS * self.timeout) + _SLACK_OF_TIME


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
    results: Results = queue.SimpleQueue()
    started: list[_Channel] = []
    for indexes in by_channel.values():
        first = parcels[indexes[0]]
        try:
            connection = _connection(first.connection)
            sender = sender_of(connection, first.medium)
        except Exception as problem:  # noqa: BLE001 - any secrets backend's; it must not keep the other channels from telling
            for index in indexes:
                outcomes[index] = _words(problem)
            continue
        started.append(_Channel(set(indexes), first.policy.delivery.timeout.total_seconds(), time.monotonic()))
        given = (sender, str(connection.password or ""), [(index, parcels[index]) for index in indexes], results)
        threading.Thread(target=_send_all, args=given, name=f"alerts {first.channel}", daemon=True).start()
    for index, told in _gather(results, started).items():
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
    sender: Callable[[Message, float], None], secret: str, work: Sequence[tuple[int, Parcel]], results: Results
) -> None:
    for index, parcel in work:
        try:
            sender(parcel.message, parcel.policy.delivery.timeout.total_seconds())
        except Exception as problem:  # noqa: BLE001 - any library's; it is told in the outbox and tried again
            results.put((index, _words(problem, secret)))
        else:
            results.put((index, None))


def _gather(results: Results, channels: Sequence[_Channel]) -> dict[int, str | None]:
    """What was answered in time; each answer gives the rest of its channel a timeout more, within _MOST_TIMEOUTS of them."""
    found: dict[int, str | None] = {}
    while waiting := [channel for channel in channels if channel.indexes - found.keys() and channel.until > time.monotonic()]:
        try:
            index, told = results.get(timeout=max(0.0, min(channel.until for channel in waiting) - time.monotonic()))
        except queue.Empty:
            continue
        found[index] = told
        for channel in waiting:
            if index in channel.indexes:
                channel.moved = time.monotonic()
    late = set().union(*(channel.indexes for channel in channels)) - found.keys()
    return found | dict.fromkeys(late, "the channel did not answer in its time (alerts.delivery.timeout)")


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
