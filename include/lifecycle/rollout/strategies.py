"""Strategy -> stages: the one place that knows how canary, blue-green, rolling, shadow, A/B and direct differ. Pure.

What follows the last stage is the same for all: provisional promotion, the bake, and its end.
"""

from __future__ import annotations

from collections.abc import Callable

from include.lifecycle.rollout.states import SPLIT_CHECKS, Stage, Strategy
from include.lifecycle.sections.rollout import RolloutSection


def stages_of(strategy: Strategy, rules: RolloutSection, replicas: int) -> list[Stage]:
    """The stages before promotion, in order. `replicas` is the number of servers per version."""
    both = (replicas, replicas)
    made: dict[Strategy, Callable[[], list[Stage]]] = {
        "canary": lambda: _canary(rules, both, above=0),
        "blue_green": lambda: _blue_green(rules, both),
        "rolling": lambda: _rolling(rules, replicas),
        "shadow": lambda: _shadow(rules, both),
        "ab_test": lambda: _ab_test(rules, both),
        "aa_test": lambda: _aa_test(rules, both),
        "direct": list[Stage],
    }
    asked = tuple(f"metric:{metric.name}" for metric in rules.metrics if metric.required and strategy != "aa_test")
    return [stage.model_copy(update={"must_pass": (*stage.must_pass, *asked)}) for stage in made[strategy]()]


def _canary(rules: RolloutSection, servers: tuple[int, int], *, above: float) -> list[Stage]:
    """The steps, those above a share only; a baseline gets what the canary gets, as long as both fit."""
    return [
        Stage(
            percent=one.percent,
            baseline=one.percent if rules.concurrent_baseline and one.percent <= 50 else 0,
            at_least=one.at_least,
            requests=one.requests,
            servers=servers,
            manual=one.manual,
        )
        for one in rules.steps
        if one.percent > above
    ]


def _blue_green(rules: RolloutSection, servers: tuple[int, int]) -> list[Stage]:
    """A look at the new environment by copied requests, if wanted; the switch is the promotion."""
    look = rules.blue_green
    if look.mirror == 0:
        return []
    return [Stage(kind="mirror", percent=0, mirror=look.mirror, at_least=look.at_least, requests=look.requests, servers=servers)]


def _rolling(rules: RolloutSection, replicas: int) -> list[Stage]:
    """One more new server and one fewer old one at each turn; the last turn is the promotion."""
    turn = rules.rolling
    return [
        Stage(percent=round(100 * new / replicas), at_least=turn.at_least, requests=turn.requests, servers=(new, replicas - new))
        for new in range(1, replicas)
    ]


def _shadow(rules: RolloutSection, servers: tuple[int, int]) -> list[Stage]:
    shadow = rules.shadow
    stage = Stage(
        kind="mirror",
        percent=0,
        mirror=shadow.mirror,
        at_least=shadow.at_least,
        requests=shadow.pairs,
        servers=servers,
        manual=shadow.then == "hold",
        must_pass=(*SPLIT_CHECKS, "agreement"),
    )
    return [stage, *(_canary(rules, servers, above=0) if shadow.then == "canary" else [])]


def _ab_test(rules: RolloutSection, servers: tuple[int, int]) -> list[Stage]:
    test = rules.ab_test
    share = round(100 * test.split)
    stage = Stage(
        kind="ab_test",
        percent=share,
        at_least=test.at_least,
        at_most=test.at_most,
        requests=test.minimum_samples,
        servers=servers,
        manual=test.winner == "manual",
        must_pass=(*SPLIT_CHECKS, "experiment"),
    )
    return [stage, *(_canary(rules, servers, above=share) if test.then == "canary" else [])]


def _aa_test(rules: RolloutSection, servers: tuple[int, int]) -> list[Stage]:
    """The champion's version twice: the second time as baseline arm. It ends concluded, whatever it finds."""
    (stage,) = _ab_test(rules.model_copy(update={"ab_test": rules.ab_test.model_copy(update={"then": "promote"})}), servers)
    return [stage.model_copy(update={"percent": 0, "baseline": stage.percent, "manual": False, "must_pass": ("experiment",)})]
