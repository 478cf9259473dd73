"""Section rollout: how a version takes over the traffic, and what stops it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from include.lifecycle.sections.base import Section, Share
from include.lifecycle.sections.rollout_metrics import MetricSection
from include.lifecycle.sections.rollout_strategies import AbTestSection, BlueGreenSection, RollingSection, ShadowSection
from include.lifecycle.sections.staging import StagingSection
from include.lifecycle.units import Duration, PositiveDuration


class RolloutStep(Section):
    """One canary step: this share of traffic, for at least so long and so many requests of the canary."""

    percent: Annotated[int, Field(ge=1, le=99)] = Field(description="percent of the traffic that the canary gets")
    at_least: Duration = Field(description="wall time that the step lasts at least")
    requests: Annotated[int, Field(ge=0)] = Field(description="requests of the canary that the step needs at least")
    manual: bool = Field(default=False, description="whether the step, once passed, waits for a person's `resume`")


class LimitsSection(Section):
    """Hard limits of a rollout; breaking one returns the traffic at once."""

    error_rate: Share = Field(description="fraction of the canary's requests that may fail")
    latency_ratio: Annotated[float, Field(gt=1)] = Field(description="canary's p95 over the champion's p95")
    latency_floor: Duration = Field(description="a ratio counts only when the p95s differ by more than this")
    performance_drop: Share = Field(description="fraction of the champion's skill that may be lost")
    # Values for plans that an earlier release stored: they were agreed without these checks.
    error_floor: Share = Field(
        default=1.0, description="a higher error rate than the champion's counts only above this difference, as a fraction"
    )
    dead_after: PositiveDuration = Field(
        default="24h",
        validate_default=True,
        description="a canary whose servers are sick, or answer nothing while requests wait, for so long is dead",
    )
    action_rate_change: Share | None = Field(
        default=None, description="fraction by which the share of positive decisions may differ from the champion's; null: any"
    )


class RolloutSection(Section):
    """How a version takes over the traffic."""

    strategy: Literal["canary", "blue_green", "rolling", "shadow", "ab_test", "direct"] = Field(
        description="how traffic moves to the new version"
    )
    steps: list[RolloutStep] = Field(min_length=1, description="canary steps, rising; full promotion follows the last")
    concurrent_baseline: bool = Field(
        description="compare the canary with a fresh server of the champion's version that gets the same share of the traffic"
    )
    blue_green: BlueGreenSection = Field(description="strategy blue_green: the look before the switch")
    rolling: RollingSection = Field(description="strategy rolling: server by server")
    shadow: ShadowSection = Field(description="strategy shadow: mirrored traffic without effect on clients")
    ab_test: AbTestSection = Field(description="strategy ab_test: an experiment on the live traffic")
    limits: LimitsSection = Field(description="hard limits; breaking one returns all traffic at once")
    metrics: list[MetricSection] = Field(description="the user's own metrics, asked of Prometheus while a rollout is open")
    staging: StagingSection = Field(description="what a version must show in its own server before any traffic")
    on_new_candidate: Literal["wait", "replace"] = Field(
        description="what a newer candidate does while a rollout is open: wait for its end, or abort and replace it"
    )
    false_rollback_rate: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        description="probability of rolling back an equally good version, per rollout, split over its tests"
    )
    give_up_after: PositiveDuration = Field(description="wall time after which a rollout without a conclusion ends")
    on_inconclusive: Literal["roll_back", "hold"] = Field(description="what happens when the evidence does not come")
    bake: Duration = Field(description="wall time of provisional promotion, while the old champion stays warm")
    poll: PositiveDuration = Field(description="wall time between two looks of the driver")
    lease: PositiveDuration = Field(description="wall time after which another driver may take over, at least 5 x `poll`")

    @field_validator("metrics")
    @classmethod
    def _names_differ(cls, metrics: list[MetricSection]) -> list[MetricSection]:
        names = [metric.name for metric in metrics]
        if len(set(names)) < len(names):
            raise ValueError(f"metrics must have different names; got {names}")
        return metrics

    @field_validator("steps")
    @classmethod
    def _steps_rise(cls, steps: list[RolloutStep]) -> list[RolloutStep]:
        percents = [step.percent for step in steps]
        if percents != sorted(set(percents)):
            raise ValueError(f"steps must rise strictly; got percents {percents}")
        return steps
