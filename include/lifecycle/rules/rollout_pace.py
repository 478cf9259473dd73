"""Rules about a rollout's times: what waits longer than it may last would always be given up; rolling needs servers to roll."""

from __future__ import annotations

from typing import Any

from include.lifecycle.rules.view import Found, View, number
from include.lifecycle.units import format_duration, parse_duration


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
    shown = format_duration(parse_duration(f"{least:g}s"))
    told = f"got {view.get('rollout.give_up_after')}, but the stages wait {shown} at least, so every rollout would be given up"
    yield ("rollout", "give_up_after"), told


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


RULES = (_rolling_has_servers, _stages_fit)
