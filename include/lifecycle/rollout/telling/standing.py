"""How a rollout stands, in words and as JSON, from its row alone: what the command line and reports show."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from include.lifecycle.rollout.evidence import Command
from include.lifecycle.rollout.states import Plan, State, Status
from include.lifecycle.rollout.telling.phrases import rough, stage_told


def as_json(row: RowMapping, now: datetime) -> dict[str, Any]:
    """Everything that `in_words` tells, JSON-plain; `now` is wall time."""
    plan, status = Plan.model_validate(row["plan"]), Status.model_validate(row["status"])
    return {
        "rollout_id": row["id"],
        "model": row["model"],
        "version": row["version"],
        "champion": row["champion"],
        "strategy": row["strategy"],
        "state": row["state"],
        "reason": row["reason"],
        "paused": status.paused,
        "stage": status.step + 1 if status.state is State.RUNNING else None,
        "stages": len(plan.stages),
        "weights": status.weights,
        "since": status.since.isoformat() if status.since else None,
        "seconds_in_stage": round((now - status.since).total_seconds(), 1) if status.since else None,
        "measurement": status.measurement.model_dump(mode="json", exclude_none=True),
        "command": row["command"],
        "driver": row["lease_holder"],
        "driven_until": row["lease_until"].isoformat() if row["lease_until"] else None,
    }


def in_words(row: RowMapping, now: datetime) -> list[str]:
    """One sentence a line: what it is, where it stands, what it has seen, what it waits for, who drives it."""
    plan, status = Plan.model_validate(row["plan"]), Status.model_validate(row["status"])
    against = f"against champion {plan.champion}" if plan.champion is not None else "without a champion before it"
    lines = [f"rollout {row['id']}: version {plan.version} of {plan.model} {against}, {plan.strategy}, {row['state']}"]
    if status.state.is_open:
        lines += [*_where(plan, status, now), *_seen(status)]
    lines.append(f"{'waits' if status.state.is_open else 'ended'}: {row['reason']}")
    if row["command"] is not None:
        lines.append(f"asked, not taken up yet: {Command.model_validate(row['command']).told}")
    return [*lines, *([_driver(row, now)] if status.state.is_open else [])]


def _where(plan: Plan, status: Status, now: datetime) -> list[str]:
    stage = plan.stage_at(status.step) if status.state is State.RUNNING else None
    since = f" for {rough(now - status.since)}" if status.since else ""
    lines = []
    if stage is not None:
        wanted = f"at least {rough(stage.at_least)} and {stage.requests} requests"
        lines.append(f"stage {status.step + 1} of {len(plan.stages)}, {stage_told(stage)}{since} ({wanted})")
    elif status.state is State.BAKING:
        lines.append(f"all traffic, provisional{since} (bake of {rough(plan.bake)})")
    if status.paused:
        lines.append("paused" + (f" for {rough(now - status.paused_at)}" if status.paused_at else ""))
    return lines


def _seen(status: Status) -> list[str]:
    seen = status.measurement
    if status.state is State.PLANNED:
        return []
    failed = f"{seen.errors} failed" + (f", {seen.left} left by their clients at once" if seen.left else "")
    lines = [f"challenger: {seen.requests} requests, {failed}, {seen.slow} of {seen.timed} slow"]
    return [*lines, f"champion: {seen.champion_requests} requests, {seen.champion_errors} failed"]


def _driver(row: RowMapping, now: datetime) -> str:
    if row["lease_until"] is None:
        return "driven by nobody yet"
    left = row["lease_until"] - now
    if left.total_seconds() > 0:
        return f"driven by {row['lease_holder']}"
    return f"driven by nobody since {rough(-left)}; it was {row['lease_holder']}"
