"""What a channel is to say of one alert, or of many at once: plain words and numbers. How a medium shows them is its sender's.

The deduplication key is the incident's, so that a system such as PagerDuty holds one incident where we hold one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from include.lifecycle.alerting.kinds import LEVELS, runbook_of
from include.lifecycle.sections.alerts import Severity

_WORDS = {"raised": "", "escalated": "ESCALATED ", "acknowledged": "ACKNOWLEDGED ", "resolved": "RESOLVED ", "worse": "WORSE "}
_SHOWN = 12  # numbers of the evidence that a message shows
TIMELINE_FOR = ("P0", "P1")
"""Severities of incidents whose timeline is written when they are over."""
_LISTED = 20  # alerts that a message about many lists


@dataclass(frozen=True)
class Message:
    """One thing to say. `event`: raised, worse, escalated, acknowledged or resolved; `level`: CRITICAL, WARNING or INFO.

    `details` are the numbers behind it; `lines` list the alerts of a message about many; `runbook` is a link or a path.
    """

    event: str
    severity: Severity
    title: str
    reason: str
    model: str
    key: str
    at: datetime
    runbook: str
    link: str
    count: int = 1
    details: dict[str, Any] = field(default_factory=dict)
    lines: tuple[str, ...] = ()

    @property
    def level(self) -> str:
        """CRITICAL, WARNING or INFO."""
        return LEVELS[self.severity]

    @property
    def subject(self) -> str:
        """One line."""
        return " ".join(f"[{self.severity}] {_WORDS.get(self.event, '')}{self.model}: {self.title}".split())

    @property
    def link_word(self) -> str:
        """What the link is for: the page of an incident that is over, else an answer."""
        return "timeline" if self.link.endswith(".html") else "answer"

    @property
    def over(self) -> bool:
        """Whether it says that all is well again."""
        return self.event == "resolved"

    def text(self) -> str:
        """All of it in plain words, for media without markup."""
        many = f" (seen {self.count} times)" if self.count > 1 else ""
        numbers = [f"{name}: {value}" for name, value in self.details.items()]
        parts = [f"{self.reason}{many}", *self.lines, *numbers, f"since {self.at:%Y-%m-%d %H:%M} UTC"]
        return "\n".join([*parts, f"runbook: {self.runbook}", f"{self.link_word}: {self.link}"])


def message_of(row: dict[str, Any], *, runbooks: str, base_url: str) -> Message:
    """The message of one row of the outbox: columns of the alert, and `event`."""
    number, base = row["alert_id"], f"{base_url.rstrip('/')}/modelops/v1"
    link = f"cli alerts ack {number}, or {base}/alerts/{number}"
    if row["event"] == "resolved" and row["severity"] in TIMELINE_FOR:
        link = f"{base}/models/{row['incident_model']}/reports/incident-{row['incident_id']}.html"
    return Message(
        event=str(row["event"]).partition(":")[0],
        severity=row["severity"],
        title=row["title"],
        reason=row["reason"],
        model=row["model"],
        key=f"modelops-incident-{row['incident_id'] or f'of-{number}'}",
        at=row["first_seen"],
        runbook=_place(runbooks, row["runbook"] or runbook_of(row["kind"])),
        link=link,
        count=int(row["count"]),
        details=_numbers(row["evidence"]),
    )


def folded(messages: Sequence[Message]) -> Message:
    """Many messages as one, as urgent as the most urgent of them."""
    ordered = sorted(messages, key=lambda one: (one.over, one.severity, one.at))
    first, models = ordered[0], sorted({one.model for one in messages})
    listed = [one.subject for one in ordered[:_LISTED]]
    more = [f"and {len(ordered) - _LISTED} more"] if len(ordered) > _LISTED else []
    named = models[0] if len(models) == 1 else f"{len(models)} models"
    return Message(
        event=first.event,
        severity=first.severity,
        title=f"{len(messages)} alerts",
        reason=f"{len(messages)} alerts of {named} came at once and are told together, first {first.subject}",
        model=named,
        key=f"modelops-storm-{first.key.removeprefix('modelops-')}",
        at=first.at,
        runbook=first.runbook,
        link="cli alerts list",
        lines=(*listed, *more),
    )


def _place(runbooks: str, named: str) -> str:
    """A section of the runbooks, unless another system named a page of its own."""
    return named if "://" in named or "#" in named else f"{runbooks}#{named}"


def _numbers(evidence: dict[str, Any]) -> dict[str, Any]:
    """What fits into a message: numbers rounded, short texts, no nested values."""
    found: dict[str, Any] = {}
    for name, value in evidence.items():
        if isinstance(value, float):
            found[name] = float(f"{value:.4g}")
        elif isinstance(value, int | bool) or (isinstance(value, str) and len(value) <= 80):
            found[name] = value
    found.pop("seen", None)
    return dict(list(found.items())[:_SHOWN])
