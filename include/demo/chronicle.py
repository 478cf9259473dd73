"""What one main job found: each training and its end, the signal that drove one, what was retired. summary.py writes it down."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Challenge:
    """One training and its end: `version` None when nothing was registered; `outcome` is the rollout's state, or refused."""

    run_id: str
    source: str
    version: int | None
    outcome: str
    reason: str


@dataclass
class Chronicle:
    """What the stages found, in the order of time."""

    ledger_before: int = 0
    requests_before: int = 0
    champion_before: int | None = None
    challenges: list[Challenge] = field(default_factory=list)
    signal: dict[str, Any] | None = None
    retired: list[int] = field(default_factory=list)

    @property
    def closed(self) -> bool:
        """Whether the loop closed: an event led to a training, and that challenger's case was decided."""
        return any(challenge.source == "signal" for challenge in self.challenges)
