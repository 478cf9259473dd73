"""Who needs a version now: aliases, open rollouts, waiting candidates, declared traffic, and how long it has been free of all.

Retirement asks before it stops a server, retention before it removes a file; both under the model's lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, RowMapping, select

from include.lifecycle.registry.artefacts import MANIFEST_TAG
from include.lifecycle.registry.candidates import waiting_versions
from include.lifecycle.registry.client import aliases_of
from include.lifecycle.registry.promotion import moves
from include.lifecycle.rollout.states import OPEN_STATES
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import desired_traffic, rollouts
from include.lifecycle.units import format_duration


@dataclass(frozen=True)
class Use:
    """Who uses which version now: aliases, open rollouts, waiting candidates, intended traffic, and the aliases' history."""

    aliases: dict[str, int]
    rollouts: dict[int, int]
    waiting: set[int]
    traffic: dict[int, int]
    moves: list[RowMapping]


def use_of(rt: Runtime, connection: Connection, model: str) -> Use:
    """What is in use now, read in the caller's transaction."""
    running = select(rollouts.c.id, rollouts.c.version, rollouts.c.champion).where(
        rollouts.c.model == model, rollouts.c.state.in_(OPEN_STATES)
    )
    involved = {version: row.id for row in connection.execute(running) for version in (row.version, row.champion) if version}
    wanted = connection.execute(select(desired_traffic.c.weights).where(desired_traffic.c.model == model)).scalar_one_or_none()
    traffic = {int(version): int(share) for version, share in (wanted or {}).items()}
    return Use(aliases_of(rt, model), involved, waiting_versions(connection, model), traffic, moves(rt, model))


def in_use(version: int, tags: dict[str, str], use: Use) -> str | None:
    """Who needs the version now, or None when nobody does."""
    if held := sorted(alias for alias, holder in use.aliases.items() if holder == version):
        return f"holds {', '.join(held)}"
    if MANIFEST_TAG not in tags:
        return "its registration is not complete"
    if version in use.rollouts:
        return f"is in the open rollout {use.rollouts[version]}"
    if version in use.waiting:
        return "its candidate waits for a rollout"
    if version in use.traffic:
        return f"its server is declared with {use.traffic[version]} % of the traffic"
    return None


def too_early(spec: ModelSpec, rt: Runtime, version: int, tags: dict[str, str], history: list[RowMapping]) -> str | None:
    """Why a version that nobody needs is not retired yet, or None."""
    last = next((row for row in history if row["phase"] == "done"), None)
    if last is not None and version in last["evidence"]["aliases_after"].values():
        return "its alias was taken by hand: see the foreign_change entries of the ledger"
    since = released_at(version, tags, history)
    if rt.clock.now() - since >= spec.retention.retire_after:
        return None
    wanted = format_duration(spec.retention.retire_after)
    return f"without alias since {since:%Y-%m-%d %H:%M} UTC; retention.retire_after is {wanted}"


def released_at(version: int, tags: dict[str, str], history: list[RowMapping]) -> datetime:
    """Event time at which the version lost its last alias, by the ledger; of its registration when it never held one."""
    for row in history:
        before, after = (row["evidence"][name].values() for name in ("aliases_before", "aliases_after"))
        if row["phase"] == "done" and version in before and version not in after:
            moment: datetime = row["at"]
            return moment
    return datetime.fromisoformat(tags["registered_at"])
