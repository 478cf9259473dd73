"""One line of a replay's timeline, whatever was replayed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Kind = Literal["alarm", "resolved", "decision", "training", "promotion", "refusal", "failure", "question", "rollback"]


@dataclass(frozen=True)
class Event:
    """What happened, or would have, at event time `at`."""

    at: datetime
    kind: Kind
    subject: str
    reason: str
    version: int | None = None
