"""What a look at a rollout can see: counts of both arms, pairs of a shadow, an experiment, and what people say meanwhile.

Stored as JSON in the rollouts row, but for the circumstances, which are read anew at each look.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from include.lifecycle.rollout.judging.source_evidence import (
    ActionEvidence,
    GatewayEvidence,
    MetricEvidence,
    ProbeEvidence,
    UsageEvidence,
)
from include.lifecycle.statistics.safe_test import SafeTest
from include.lifecycle.statistics.sketch import Sketch

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
    """Requests that both versions answered: `agreed` of `pairs` alike; one of several rows counts by the share that is alike."""

    pairs: int = 0
    agreed: float = 0.0
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

    `slow` of `timed` challenger requests were above the latency limit; `limit_us` is the newest limit in microseconds. `rescued`
    were answered by another version's server; `failed_in_a_row` failed since the last one that did not; of `left` the client
    went before an answer could be expected: they are neither failures nor successes. The safe tests compare
    with the concurrent baseline where there is one, else with the champion; `latency_best` is the largest logarithm so far of the
    mean e-value of the latency tests, `times` the durations by arm in microseconds. `silent` names sources that did not answer.
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
    baseline_requests: int = 0
    baseline_errors: int = 0
    rescued: int = 0
    left: int = 0
    failed_in_a_row: int = 0
    first_at: float | None = None
    last_at: float | None = None
    times: dict[str, Sketch] = {}
    error_test: SafeTest = SafeTest()
    latency_tests: dict[str, SafeTest] = {}
    latency_best: float = 0.0
    gateway: GatewayEvidence | None = None
    probes: ProbeEvidence | None = None
    metrics: dict[str, MetricEvidence] = {}
    actions: ActionEvidence | None = None
    usage: dict[str, UsageEvidence] = {}
    silent: dict[str, str] = {}
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
