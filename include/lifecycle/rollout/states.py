"""What a rollout is made of: Plan (what was agreed), its Stages, Status (where it is), Transition (what next).

All are stored as JSON in the rollouts row, so any process can take a rollout over from any other. What was seen: evidence.py.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field, model_validator

from include.lifecycle.rollout.evidence import Command, Cursor, ExperimentEvidence, Measurement, PairEvidence, PerformanceEvidence
from include.lifecycle.rollout.evidence import Plain as _Plain
from include.lifecycle.rollout.planning.estimate import Estimate
from include.lifecycle.sections.rollout_metrics import MetricSection
from include.lifecycle.sections.rollout_strategies import AbTestSection, ShadowSection
from include.lifecycle.sections.training import ObjectiveSection
from include.lifecycle.spec import LimitsSection
from include.lifecycle.units import Duration
from include.lifecycle.verdicts import Verdict

__all__ = [
    "OPEN_STATES",
    "Act",
    "Command",
    "Cursor",
    "ExperimentEvidence",
    "Measurement",
    "PairEvidence",
    "PerformanceEvidence",
    "Plan",
    "Stage",
    "State",
    "Status",
    "Strategy",
    "Transition",
]


class State(StrEnum):
    """State of a rollout. Open: planned, running, baking. Closed: all others."""

    PLANNED = "planned"  # waits for serving check and approval; no traffic yet
    RUNNING = "running"  # a stage's traffic is in force
    BAKING = "baking"  # all traffic, promotion provisional, the old champion warm
    PROMOTED = "promoted"  # the bake ended well
    ROLLED_BACK = "rolled_back"  # the champion has all traffic again
    HELD = "held"  # a first version failed: it goes on serving, for there is nothing to return to
    ABORTED = "aborted"  # stopped from outside; the champion has all traffic again
    REFUSED = "refused"  # never got traffic (serving check or approval)
    CONCLUDED = "concluded"  # an A/A test ended; nothing was to be promoted

    @property
    def is_open(self) -> bool:
        """Whether the rollout still goes on."""
        return self in (State.PLANNED, State.RUNNING, State.BAKING)


OPEN_STATES = tuple(state.value for state in State if state.is_open)
"""As the column `rollouts.state` holds them; tables.py writes them out once more, in the index of open rollouts."""

Act = Literal["wait", "pause", "resume", "shift_traffic", "promote", "confirm", "roll_back", "hold", "abort", "conclude"]
Strategy = Literal["canary", "blue_green", "rolling", "shadow", "ab_test", "direct", "aa_test"]
SPLIT_CHECKS = ("error_rate", "latency")


class Stage(_Plain):
    """One stretch of a rollout with fixed traffic: `percent` of it to the challenger, the rest to the champion.

    `mirror` percent are copied to the challenger without effect on clients; `baseline` percent, out of the champion's share, go
    to a fresh server of the champion's version. `servers` are those of challenger and champion. The stage is left when `at_least`
    (wall time) and `requests` (of the challenger; copied ones; samples per arm) are reached and all of `must_pass` pass; a
    `manual` one then waits for a person. Past `at_most` (None: the plan's give_up_after, from its start) it is given up.
    """

    kind: Literal["split", "mirror", "ab_test"] = "split"
    percent: int
    mirror: int = 0
    baseline: int = 0
    at_least: Duration
    at_most: Duration | None = None
    requests: int
    servers: tuple[int, int] = (1, 1)
    manual: bool = False
    must_pass: tuple[str, ...] = SPLIT_CHECKS

    @property
    def share(self) -> str:
        """What of the traffic the stage is about, in words; of an A/A test the baseline's part."""
        return f"{self.mirror} % copied" if self.kind == "mirror" else f"{self.percent or self.baseline} %"

    @property
    def sticky(self) -> bool:
        """Whether a key always meets the same arm."""
        return self.kind == "ab_test"


class Plan(_Plain):
    """What was agreed when the rollout was planned; never changed later. `metric` is the model's objective."""

    model: str
    version: int
    champion: int | None
    strategy: Strategy
    stages: list[Stage]
    limits: LimitsSection
    false_rollback_rate: float
    give_up_after: Duration
    on_inconclusive: Literal["roll_back", "hold"]
    bake: Duration
    poll: Duration
    lease: Duration
    approval_timeout: Duration
    replicas: int = 1
    on_new_candidate: Literal["wait", "replace"] = "wait"
    shadow: ShadowSection | None = None
    ab_test: AbTestSection | None = None
    objective: ObjectiveSection | None = None
    metrics: tuple[MetricSection, ...] = ()
    metric: str = ""
    risk: Literal["low", "medium", "high"] = "medium"
    requested_by: list[str] = Field(default_factory=list)
    spec_hash: str = ""
    estimate: Estimate | None = None

    @model_validator(mode="before")
    @classmethod
    def _steps_are_stages(cls, values: Any) -> Any:
        """A rollout that was planned by an earlier release stores its canary's steps."""
        if not isinstance(values, dict) or "steps" not in values:
            return values
        old = {name: value for name, value in values.items() if name != "steps"}
        walked = old.get("strategy") == "canary" and old.get("champion") is not None
        return {"stages": values["steps"] if walked else []} | old

    @property
    def tests(self) -> int:
        """Tests that could roll back by chance. In each stage six: hard limits of error rate and latency, the safe tests of both,
        failures in a row, performance (of a shadow: agreement); in an A/B test its harm, too; in the bake three; the
        action rate in each, if it has a limit.
        """
        action = int(self.limits.action_rate_change is not None)
        experiments = sum(stage.kind == "ab_test" for stage in self.stages)
        return (6 + action) * len(self.stages) + experiments + 3 + action

    @property
    def alpha(self) -> float:
        """Level of each single test: the rollout's false rollback rate, split evenly (union bound)."""
        return self.false_rollback_rate / self.tests

    def stage_at(self, step: int) -> Stage | None:
        """The stage of that number; None beyond the last: provisional promotion."""
        return self.stages[step] if step < len(self.stages) else None

    def weights_at(self, step: int) -> dict[int, int]:
        """Percent by version in one stage; beyond the last the challenger has everything and the champion stays warm."""
        stage = self.stage_at(step)
        share = 100 if stage is None else stage.percent
        if self.champion in (None, self.version):
            return {self.version: 100}
        return {self.version: share, self.champion: 100 - share}

    def servers_at(self, step: int) -> dict[int, int]:
        """Servers by version in one stage; beyond the last all of the challenger's, and one of the champion's after rolling."""
        stage = self.stage_at(step)
        warm = 1 if self.strategy == "rolling" else self.replicas
        new, old = (self.replicas, warm) if stage is None else stage.servers
        return ({} if self.champion is None else {self.champion: old}) | {self.version: new}


class Status(_Plain):
    """Where a rollout is. Times are wall times; `sequence` counts transitions and makes effects idempotent.

    `pending` is a transition whose effects were intended but not yet confirmed, `attempts` how often the gateway refused it.
    """

    state: State = State.PLANNED
    step: int = 0
    sequence: int = 0
    since: datetime | None = None
    started: datetime | None = None
    paused: bool = False
    paused_at: datetime | None = None
    held: bool = False
    halted_at: datetime | None = None
    frozen_at: datetime | None = None
    weights: dict[int, int] = Field(default_factory=dict)
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
    verdicts: list[Verdict] = Field(default_factory=list)


Status.model_rebuild()
