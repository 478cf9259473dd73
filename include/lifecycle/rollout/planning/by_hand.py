"""A canary's steps as a person gives them to one deploy run, in place of the YAML's. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field, ValidationError

from include.lifecycle.errors import GateFailedError
from include.lifecycle.results import StageResult
from include.lifecycle.sections.rollout import RolloutSection, RolloutStep


class ByHand(StageResult):
    """Steps from `initial_traffic` percent by `increment` up to all traffic, `interval_minutes` apart; `by` is who said so.

    What is not given is as the YAML's first step has it; without an increment there is that one step.
    """

    by: str
    initial_traffic: Annotated[int, Field(ge=1, le=99)] | None = None
    increment: Annotated[int, Field(ge=1, le=99)] | None = None
    interval_minutes: Annotated[float, Field(ge=0, le=10_080)] | None = None

    @property
    def told(self) -> str:
        """What was given, in words."""
        given = self.model_dump(exclude={"by"}, exclude_none=True)
        return f"{self.by} gave this run {', '.join(f'{name} {value:g}' for name, value in given.items())}"


def read_by_hand(params: dict[str, Any], by: str) -> ByHand | None:
    """What a deploy run's params say about the steps; None when nothing. GateFailedError for a value out of bounds."""
    given = {name: params.get(name) for name in ByHand.model_fields if name != "by" and params.get(name) is not None}
    try:
        return ByHand(by=by, **given) if given else None
    except ValidationError as problem:
        told = "; ".join(f"{error['loc'][0]}: {error['msg']}, got {error['input']!r}" for error in problem.errors())
        raise GateFailedError(f"the run's params cannot be used: {told}") from problem


def with_steps(rules: RolloutSection, given: ByHand) -> RolloutSection:
    """The rules with the steps that were given by hand; GateFailedError when the strategy is no canary."""
    if rules.strategy != "canary":
        wanted = "initial_traffic, increment and interval_minutes belong to strategy canary"
        raise GateFailedError(f"{wanted}; the model's strategy is {rules.strategy}")
    usual = rules.steps[0]
    start = given.initial_traffic or usual.percent
    percents = range(start, 100, given.increment or 100)
    minutes = given.interval_minutes
    at_least = usual.at_least if minutes is None else timedelta(minutes=minutes)
    steps = [RolloutStep(percent=one, at_least=at_least, requests=usual.requests) for one in percents]
    return rules.model_copy(update={"steps": steps})
