"""PagerDuty's Events API v2 (connection type pagerduty_events, integration key in the password; host: another address).

One event per incident and change: trigger, acknowledge, resolve, under the incident's deduplication key.
"""

from __future__ import annotations

from typing import Any

import httpx
from airflow.providers.pagerduty.hooks.pagerduty_events import prepare_event_data

from include.lifecycle.alerting.messages import Message
from include.lifecycle.errors import LifecycleError, SettingsError

_SEVERITIES = {"P0": "critical", "P1": "error", "P2": "warning", "P3": "info"}
_ACTIONS = {"acknowledged": "acknowledge", "resolved": "resolve"}
_DEFAULT = "https://events.pagerduty.com"
_SUMMARY = 1024  # characters; PagerDuty refuses longer ones


class NotAcceptedError(LifecycleError):
    """PagerDuty answered, and did not take the event."""

    retryable = True


def send(connection: Any, message: Message, timeout: float) -> None:
    """Post one event, once: we try again later, without keeping others waiting as the provider's client would.

    Raises NotAcceptedError when PagerDuty does not take it, SettingsError when the connection holds no key.
    """
    if not connection.password:
        raise SettingsError(f"connection {connection.conn_id!r} has no password: PagerDuty's integration key stands there")
    body = event(message) | {"routing_key": connection.password}
    answer = httpx.post(f"{_address(connection)}/v2/enqueue", json=body, timeout=timeout)
    if answer.status_code != httpx.codes.ACCEPTED:
        raise NotAcceptedError(f"PagerDuty answered {answer.status_code}: {' '.join(answer.text.split())[:200]}")


def event(message: Message) -> dict[str, Any]:
    """The event, without its key: https://developer.pagerduty.com/docs/send-alert-event"""
    links = [{"href": message.runbook, "text": "Runbook"}] if "://" in message.runbook else None
    told = {"reason": message.reason, "level": message.level, "seen": message.count, "runbook": message.runbook}
    return prepare_event_data(
        summary=message.subject[:_SUMMARY],
        severity=_SEVERITIES[message.severity],
        source=f"modelops/{message.model}",
        component=message.model,
        group="modelops",
        class_type=message.title,
        custom_details=told | message.details | ({"alerts": list(message.lines)} if message.lines else {}),
        action=_ACTIONS.get(message.event, "trigger"),
        dedup_key=message.key,
        links=links,
        action_key_name="event_action",
    )


def _address(connection: Any) -> str:
    if not connection.host:
        return _DEFAULT
    if "://" in connection.host:
        return str(connection.host).rstrip("/")
    return f"{connection.schema or 'https'}://{connection.host}{f':{connection.port}' if connection.port else ''}"
