"""E-mail by SMTP (connection type smtp; extra `to`, one address or several, and `from_email`). An incident is one thread."""

from __future__ import annotations

from html import escape
from typing import Any

from airflow.providers.smtp.hooks.smtp import SmtpHook

from include.lifecycle.alerting.messages import Message
from include.lifecycle.errors import SettingsError

_COLOURS = {"P0": "#b42318", "P1": "#c4520e", "P2": "#b58105", "P3": "#40667f"}
_GOOD = "#1a7f4b"


def send(connection: Any, message: Message, timeout: float) -> None:
    """Send one mail to every address of the connection. Raises SettingsError when the connection names nobody."""
    to = connection.extra_dejson.get("to")
    if not to:
        raise SettingsError(f"connection {connection.conn_id!r} has no `to` in its extra: an address, or several")
    with _Hook(connection, timeout) as hook:
        headers = {"References": f"<{message.key}@modelops>", "X-ModelOps-Alert": message.key}
        hook.send_email_smtp(to=to, subject=message.subject, html_content=page(message), custom_headers=headers)


def page(message: Message) -> str:
    """The mail's HTML; every value is escaped."""
    colour = _GOOD if message.over else _COLOURS[message.severity]
    rows = "".join(
        f'<tr><td style="padding:2px 12px 2px 0;color:#57606a">{escape(name)}</td><td>{escape(str(value))}</td></tr>'
        for name, value in message.details.items()
    )
    lines = "".join(f"<li>{escape(line)}</li>" for line in message.lines)
    many = f"seen {message.count} times, " if message.count > 1 else ""
    link = escape(message.runbook)
    runbook = f'<a href="{link}">{link}</a>' if "://" in message.runbook else link
    return (
        f'<div style="font:15px/1.5 system-ui,sans-serif;color:#1b1f24;max-width:40rem;border-left:5px solid {colour};'
        f'padding:4px 16px"><p style="margin:0;color:{colour}"><b>{message.severity} {message.level}</b></p>'
        f'<h2 style="margin:4px 0">{escape(message.model)}: {escape(message.title)}</h2><p>{escape(message.reason)}</p>'
        f"{f'<ul>{lines}</ul>' if lines else ''}<table>{rows}</table>"
        f'<p style="color:#57606a">{many}since {message.at:%Y-%m-%d %H:%M} UTC<br>'
        f"Runbook: {runbook}<br>{message.link_word.capitalize()}: <code>{escape(message.link)}</code></p></div>"
    )


class _Hook(SmtpHook):
    """The provider's hook on a connection that was read already, with a timeout of its own and one attempt."""

    def __init__(self, connection: Any, timeout: float) -> None:
        super().__init__(smtp_conn_id=connection.conn_id)
        self._read, self._timeout = connection, timeout

    def get_connection(self, conn_id: str) -> Any:  # type: ignore[override]
        """The connection that was read."""
        return self._read

    @property
    def timeout(self) -> int:
        """Seconds per step of the conversation."""
        return max(1, round(self._timeout))

    @property
    def smtp_retry_limit(self) -> int:
        """Further attempts to connect."""
        return 0
