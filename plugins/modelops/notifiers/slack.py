"""Slack: an incoming webhook (connection type slackwebhook), Block Kit with a plain text for notifications."""

from __future__ import annotations

from typing import Any

from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

from include.lifecycle.alerting.messages import Message

_HEADER, _SECTION = 150, 3000  # characters; Slack refuses longer ones
_ICONS = {"P0": ":rotating_light:", "P1": ":red_circle:", "P2": ":large_orange_circle:", "P3": ":information_source:"}


def send(connection: Any, message: Message, timeout: float) -> None:
    """Post to the webhook. Raises AirflowException when Slack answers anything but 200."""
    hook = _Hook(connection, timeout)
    hook.send_dict(payload(message))


def payload(message: Message) -> dict[str, Any]:
    """The webhook's body: https://api.slack.com/messaging/webhooks#advanced_message_formatting"""
    icon = ":white_check_mark:" if message.over else _ICONS[message.severity]
    body = [_escaped(message.reason), *(f"• {_escaped(line)}" for line in message.lines)]
    numbers = [f"*{_escaped(name)}* {_escaped(str(value))}" for name, value in message.details.items()]
    runbook = f"<{message.runbook}|runbook>" if "://" in message.runbook else f"runbook: {message.runbook}"
    many = f"seen {message.count} times, " if message.count > 1 else ""
    link = f"{message.link_word.capitalize()}: `{_escaped(message.link)}`"
    foot = f"{message.level}, {many}since {message.at:%Y-%m-%d %H:%M} UTC. {runbook}. {link}"
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": f"{icon} {message.subject}"[:_HEADER], "emoji": True}},
        {"type": "section", "text": {"type": "mrkdwn", "text": "\n".join(body)[:_SECTION]}},
    ]
    if numbers:
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": "  ".join(numbers)[:_SECTION]}})
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": foot[:_SECTION]}]})
    return {"text": message.subject, "blocks": blocks}


def _escaped(text: str) -> str:
    """Slack's three control characters."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class _Hook(SlackWebhookHook):
    """The provider's hook on a connection that was read already."""

    def __init__(self, connection: Any, timeout: float) -> None:
        super().__init__(slack_webhook_conn_id=connection.conn_id, timeout=max(1, round(timeout)))
        self._read = connection

    def get_connection(self, conn_id: str) -> Any:  # type: ignore[override]
        """The connection that was read."""
        return self._read
