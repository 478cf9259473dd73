"""What a rollout is made of: Plan (what was agreed), Status (where it is), Measurement (what was seen), Transition (what next).

All four are stored as JSON in the rollouts row, so any process can take a rollout over from any other.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from include.lifecycle.spec import LimitsSection, RolloutStep
from include.lifecycle.units import Duration
from include.lifecycle.verdicts import Verdict


class State(StrEnum):
    """State of a rollout. Open: planned, running, baking. Closed: all others."""

    PLANNED = "planned"  # waits for serving check and approval; no traffic yet
    RUNNING = "running"  # the challenger has a step's share of the traffic
    BAKING = "baking"  # all traffic, promotion provisional, the old champion warm
    PROMOTED = "promoted"  # the bake ended well
    ROLLED_BACK = "rolled_back"  # the champion has all traffic again
    HELD = "held"  # frozen as it is; a person decides
    ABORTED = "aborted"  # stopped from outside; the champion has all traffic again
    REFUSED = "refused"  # never got traffic (serving check or approval)

    @property
    def is_open(self) -> bool:
        """Whether the rollout still goes on."""
        return self in (State.PLANNED, State.RUNNING, State.BAKING)


OPEN_STATES = tuple(state.value for state in State if state.is_open)
"""As the column `rollouts.state` holds them; tables.py writes them out once more, in the index of open rollouts."""

Act = Literal["wait", "shift_traffic", "promote", "confirm", "roll_back", "hold", "abort"]


class _Plain(BaseModel):
    """Base of what the row stores: frozen, JSON-plain."""

    model_config = ConfigDict(frozen=True)


class Plan(_Plain):
    """What was agreed when the rollout was planned; never changed later. `metric` is the model's objective."""

    model: str
    version: int
    champion: int | None
    strategy: Literal["canary", "direct"]
    steps: list[RolloutStep]
    limits: LimitsSection
    false_rollback_rate: float
    give_up_after: Duration
    on_inconclusive: Literal["roll_back", "hold"]
    bake: Duration
    poll: Duration
    lease: Duration
    approval_timeout: Duration
    metric: str = ""
    risk: Literal["low", "medium", "high"] = "medium"
    requested_by: list[str] = []
    spec_hash: str = ""

    @property
    def tests(self) -> int:
        """Tests that could roll back by chance: error rate and performance in each step and the bake, latency in each step."""
        return 3 * len(self.active_steps) + 2

    @property
    def alpha(self) -> float:
        """Level of each single test: the rollout's false rollback rate, split evenly (union bound)."""
        return self.false_rollback_rate / self.tests

    @property
    def active_steps(self) -> list[RolloutStep]:
        """Steps that will be walked: none when direct."""
        return self.steps if self.strategy == "canary" and self.champion is not None else []

    def weights_at(self, step: int) -> dict[int, int]:
        """Percent by version in one step; beyond the last step the challenger has everything and the champion stays warm."""
        share = self.active_steps[step].percent if step < len(self.active_steps) else 100
        return {self.version: share} | ({} if self.champion is None else {self.champion: 100 - share})


class PerformanceEvidence(_Plain):
    """Bounds of the share of the champion's skill that the challenger lost, on matured labels; time-uniform at alpha."""

    rows: int
    drop_lower: float
    drop_upper: float
    detail: dict[str, Any] = {}


class Measurement(_Plain):
    """What was seen since the present weights came into force. Counts are by assigned arm (intention to treat).

    `slow` of `timed` challenger requests were above the latency limit; `limit_us` is the newest limit in microseconds.
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


class Cursor(_Plain):
    """Where reading of the access log stopped (file identity, byte offset), and what must be known to go on."""

    inode: int = 0
    offset: int = 0
    since: float = 0.0
    recent_champion_us: list[int] = []


class Status(_Plain):
    """Where a rollout is. Times are wall times; `sequence` counts transitions and makes effects idempotent.

    `pending` is a transition whose effects were intended but not yet confirmed, `attempts` how often the gateway refused it.
    """

    state: State = State.PLANNED
    step: int = 0
    sequence: int = 0
    since: datetime | None = None
    started: datetime | None = None
    weights: dict[int, int] = {}
    cursor: Cursor = Cursor()
    measurement: Measurement = Measurement()
    pending: Transition | None = None
    attempts: int = 0
    reason: str = ""


class Transition(_Plain):
    """What comes next: the act, the state, step and weights after it, and why."""

    act: Act
    state: State
    step: int
    weights: dict[int, int]
    reason: str
    verdicts: list[Verdict] = []


Status.model_rebuild()
