"""What a look at a rollout can see: counts of both arms, pairs of a shadow, an experiment, and what people say meanwhile.

Stored as JSON in the rollouts row, but for the circumstances, which are read anew at each look.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Wish = Literal["pause", "resume", "skip", "abort", "conclude"]


class Plain(BaseModel):
    """Base of what the row stores: frozen, JSON-plain."""

    model_config = ConfigDict(frozen=True)


class PerformanceEvidence(Plain):
    """Bounds of the share of the champion's skill that the challenger lost, on matured labels; time-uniform at alpha."""

    rows: int
    drop_lower: float
    drop_upper: float
    detail: dict[str, Any] = {}


class PairEvidence(Plain):
    """Answers of both versions to the same requests: `agreed` of `pairs` made the same decision."""

    pairs: int = 0
    agreed: int = 0
    detail: dict[str, Any] = {}


class ExperimentEvidence(Plain):
    """An A/B test so far: samples by arm, time-uniform bounds of the difference (challenger less champion, better above 0)."""

    samples: int = 0
    champion_samples: int = 0
    difference: float | None = None
    lower: float | None = None
    upper: float | None = None
    detail: dict[str, Any] = {}


class Command(Plain):
    """What a person asked of an open rollout; `winner` belongs to `conclude`."""

    wish: Wish
    by: str
    reason: str
    at: datetime | None = None
    winner: Literal["challenger", "champion"] | None = None

    @property
    def told(self) -> str:
        """The wish in words, for reasons and the ledger."""
        choice = f" with the {self.winner} as winner" if self.winner else ""
        return f"{self.by} asked to {self.wish}{choice}: {self.reason}"


class Measurement(Plain):
    """What was seen since the present weights came into force. Counts are by assigned arm (intention to treat).

    `slow` of `timed` challenger requests were above the latency limit; `limit_us` is the newest limit in microseconds.
    The last four are circumstances: a person's wish, a newer open candidate, why nothing may go forward, what the watchdog did.
    """

    requests: int = 0
    errors: int = 0
    timed: int = 0
    slow: int = 0
    limit_us: float | None = None
    champion_requests: int = 0
    champion_errors: int = 0
    champion_p95_us: float | None = None
    performance: PerformanceEvidence | None = None
    pairs: PairEvidence | None = None
    experiment: ExperimentEvidence | None = None
    command: Command | None = Field(default=None, exclude=True)
    newer: int | None = Field(default=None, exclude=True)
    frozen: str = Field(default="", exclude=True)
    watchdog: str = Field(default="", exclude=True)


class Cursor(Plain):
    """Where reading of the access log stopped (file identity, byte offset), and what must be known to go on."""

    inode: int = 0
    offset: int = 0
    since: float = 0.0
    recent_champion_us: list[int] = []
