"""Rules about a rollout's times: what waits longer than it may last would always be given up; rolling needs servers to roll."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from include.lifecycle.origins import KeyPath
from include.lifecycle.rules.view import Found, View, number
from include.lifecycle.units import format_duration

LOOKS_PER_LEASE = 5
"""Looks that must fit into a lease."""
_STEPS: KeyPath = ("rollout", "steps")
# What makes each strategy's stages long.
_WAITS: dict[str, tuple[KeyPath, ...]] = {
    "canary": (_STEPS,),
    "rolling": (("rollout", "rolling", "at_least"), ("server", "replicas")),
    "blue_green": (("rollout", "blue_green", "at_least"),),
    "shadow": (("rollout", "shadow", "at_least"), _STEPS),
    "ab_test": (_STEPS,),
}


def _rolling_has_servers(view: View) -> Found:
    replicas = view.get("server.replicas")
    if view.get("rollout.strategy") == "rolling" and isinstance(replicas, int) and replicas < 2:
        told = f"'rolling' goes server by server, and server.replicas is {replicas}; have at least 2, or choose blue_green"
        yield ("rollout", "strategy"), told


def _stages_fit(view: View) -> Found:
    """An A/B test has its own `at_most`, and its canary steps the rest."""
    patience, least = number(view.get("rollout.give_up_after")), _least(view)
    if patience is None or least is None or least < patience:
        return
    shown, end = _hours(least), view.get("rollout.give_up_after")
    path = view.blamed(("rollout", "give_up_after"), *_WAITS.get(str(view.get("rollout.strategy")), ()))
    got = f"got {end}, but the stages wait {shown} at least"
    if path[-1] != "give_up_after":
        got = f"the stages wait {shown} at least, and rollout.give_up_after is {end}"
    yield path, f"{got}, so every rollout would be given up"


def _hours(seconds: float) -> str:
    """A length as people say it, at most in hours and minutes: 25h15m."""
    minutes = round(seconds / 60)
    if seconds < 3600 or seconds != minutes * 60 or minutes % 60 == 0:
        return format_duration(timedelta(seconds=seconds))
    return f"{minutes // 60}h{minutes % 60}m"


def _lease_outlives_looks(view: View) -> Found:
    """The driver renews its lease once a look; the gateway's watchdog returns the traffic of a lease that ran out."""
    poll, lease = number(view.get("rollout.poll")), number(view.get("rollout.lease"))
    if poll is None or lease is None or not poll <= lease < LOOKS_PER_LEASE * poll:
        return
    path = view.blamed(("rollout", "lease"), ("rollout", "poll"))
    least = format_duration(timedelta(seconds=LOOKS_PER_LEASE * poll))
    most = format_duration(timedelta(milliseconds=lease * 1000 // LOOKS_PER_LEASE))
    why = "a shorter lease could run out between two looks, and the watchdog would then return the traffic"
    if path[-1] == "lease":
        yield path, f"got {view.get('rollout.lease')}; allowed: at least {LOOKS_PER_LEASE} x rollout.poll, {least}: {why}"
    else:
        yield path, f"got {view.get('rollout.poll')}; allowed: a fifth of rollout.lease at most, {most}: {why}"


def _least(view: View) -> float | None:
    """Seconds that the chosen strategy's stages wait at least; None when something is missing or of a wrong type."""
    strategy = view.get("rollout.strategy")
    steps = _total([step.get("at_least") for step in _mappings(view.get("rollout.steps"))])
    replicas, turn = view.get("server.replicas"), number(view.get("rollout.rolling.at_least"))
    look = number(view.get("rollout.blue_green.at_least")) if view.get("rollout.blue_green.mirror") else 0.0
    shadow = number(view.get("rollout.shadow.at_least"))
    then_steps = steps if view.get("rollout.shadow.then") == "canary" else 0.0
    found = {
        "canary": steps,
        "rolling": turn * (replicas - 1) if turn is not None and isinstance(replicas, int) else None,
        "blue_green": look,
        "shadow": None if shadow is None or then_steps is None else shadow + then_steps,
        "ab_test": steps if view.get("rollout.ab_test.then") == "canary" else 0.0,
    }
    return found.get(strategy, 0.0) if isinstance(strategy, str) else None


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _total(values: list[Any]) -> float | None:
    numbers = [number(value) for value in values]
    return None if None in numbers else sum(value for value in numbers if value is not None)


RULES = (_rolling_has_servers, _stages_fit, _lease_outlives_looks)
