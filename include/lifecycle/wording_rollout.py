"""`explain`'s sentences on how a version takes over the traffic, by strategy. Part of wording.py's account."""

from __future__ import annotations

from datetime import timedelta

from include.lifecycle.rollout.states import Stage
from include.lifecycle.rollout.strategies import stages_of
from include.lifecycle.spec import ModelSpec
from include.lifecycle.units import format_duration as length

_FIRST = "The first version takes all traffic after its serving check."
_NAMES = {
    "canary": "by canary",
    "blue_green": "by one switch between two environments (blue-green)",
    "rolling": "server by server (rolling)",
    "shadow": "after a shadow run",
    "ab_test": "by an A/B test",
    "direct": "at once (strategy direct)",
}


def shortest_rollout(spec: ModelSpec) -> timedelta:
    """The least time from the first stage to full traffic; zero without stages."""
    return sum((stage.at_least for stage in _stages(spec)), timedelta(0))


def rollout_words(spec: ModelSpec) -> str:
    """How versions take over: the way of the strategy, its least time, and the bake."""
    bake, stages = length(spec.rollout.bake), _stages(spec)
    way = "; ".join(_stage_words(spec, stage) for stage in stages)
    path = f": {way}, then all traffic. That takes at least {length(shortest_rollout(spec))}." if stages else "."
    kept = f"The promotion is provisional for {bake} more, with the old champion kept warm."
    return f"{_FIRST} Each later one goes {_NAMES[spec.rollout.strategy]}{path} {kept}"


def _stages(spec: ModelSpec) -> list[Stage]:
    return stages_of(spec.rollout.strategy, spec.rollout, spec.server.replicas)


def _stage_words(spec: ModelSpec, stage: Stage) -> str:
    least = f"for at least {length(stage.at_least)}"
    waits = ", then a person decides" if stage.manual else ""
    if stage.kind == "mirror":
        compared = f" and {stage.requests:,} pairs" if "agreement" in stage.must_pass else f" and {stage.requests:,} requests"
        return f"{stage.mirror} % of the requests copied to it {least}{compared}, without effect on clients{waits}"
    if stage.kind == "ab_test":
        keys = f"{stage.percent} % of the values of header {spec.rollout.ab_test.sticky_header}"
        return f"{keys} {least} and {stage.requests:,} samples per arm{waits}"
    beside = f", beside as much for a fresh server of the champion ({stage.baseline} %)" if stage.baseline else ""
    return f"{stage.percent} %{beside} {least} and {stage.requests:,} requests{waits}"
