"""Any service that Apprise knows (connection type apprise, extra `config` with its URLs): SMS and phone gateways, and more."""

from __future__ import annotations

from typing import Any

from airflow.providers.apprise.hooks.apprise import AppriseHook

from include.lifecycle.alerting.messages import Message
from include.lifecycle.errors import LifecycleError, SettingsError

_SHORT = ("sms", "phone")
_LONGEST_SHORT = 300  # characters: two parts of an SMS


class NotSentError(LifecycleError):
    """Apprise's services did not take the message; Apprise's own words are in the log."""

    retryable = True


def send(connection: Any, message: Message, timeout: float, *, medium: str = "") -> None:
    """Notify every URL of the connection; on `sms` and `phone` in few words.

    Raises NotSentError when one of them refused (Airflow's own hook does not look), SettingsError when there is none.
    """
    import apprise

    asset = apprise.AppriseAsset(app_id="ModelOps", app_desc="ModelOps for Airflow", async_mode=False)
    services = apprise.Apprise(asset=asset)
    config = connection.extra_dejson.get("config")
    try:
        AppriseHook(connection.conn_id).set_config_from_conn(conn=connection, apprise_obj=services)
    except (KeyError, ValueError, TypeError) as problem:
        raise SettingsError(f"connection {connection.conn_id!r}: extra `config` is {type(config).__name__}: {problem}") from None
    if not len(services):
        raise SettingsError(f"connection {connection.conn_id!r}: extra `config` names no service that Apprise knows")
    for service in services:
        service.socket_connect_timeout = service.socket_read_timeout = timeout
    kind = apprise.NotifyType.SUCCESS if message.over else _kind(apprise, message.severity)
    short = medium in _SHORT
    body = message.reason[:_LONGEST_SHORT] if short else message.text()
    if not services.notify(body=body, title=message.subject, notify_type=kind, body_format=apprise.NotifyFormat.TEXT):
        raise NotSentError(f"connection {connection.conn_id!r}: a service that Apprise was to tell did not take the message")


def _kind(apprise: Any, severity: str) -> Any:
    kinds = {"P0": apprise.NotifyType.FAILURE, "P3": apprise.NotifyType.INFO}
    return kinds.get(severity, apprise.NotifyType.WARNING)
