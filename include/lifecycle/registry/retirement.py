"""Stage retire_versions: archive versions that nobody needs any more, and prove that nothing serves them.

A version may go when it holds no alias, is in no rollout, waits for none, gets no traffic, and lost its last alias long enough
ago. Its files in MLflow stay: a retired version can be brought back; only its server and its served copy go.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, RowMapping, select

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.errors import GateFailedError
from include.lifecycle.ledger import Entry
from include.lifecycle.registry.artefacts import MANIFEST_TAG
from include.lifecycle.registry.candidates import waiting_versions
from include.lifecycle.registry.client import aliases_of, registry_calls, versions_of
from include.lifecycle.registry.promotion import ARCHIVED, STAGE_TAG, moves
from include.lifecycle.results import Retirement
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import desired_traffic, rollouts
from include.lifecycle.units import format_duration

if TYPE_CHECKING:
    from include.lifecycle.rollout.targets.base import Target

RETIRED_TAG = "retired_at"
_OPEN_ROLLOUT = ("planned", "running", "baking")


@dataclass(frozen=True)
class Use:
    """Who uses which version now: aliases, open rollouts, waiting candidates, intended traffic, and the aliases' history."""

    aliases: dict[str, int]
    rollouts: dict[int, int]
    waiting: set[int]
    traffic: dict[int, int]
    moves: list[RowMapping]


def retire_versions(spec: ModelSpec, rt: Runtime, run: RunContext, *, target: Target | None = None) -> Retirement:
    """Retire every version that may go; the others stay with a reason each. Run again, it finishes what was begun.

    Raises:
        SourceUnavailableError: MLflow, the database or the servers' supervisor did not answer.
        GateFailedError: a version was still served after its server was stopped.
    """
    if target is None:
        from include.lifecycle.rollout.targets.embedded import EmbeddedTarget

        target = EmbeddedTarget(rt)
    retired, kept = [], {}
    for entry in versions_of(rt, spec.name):
        version, tags = int(entry.version), dict(entry.tags)
        if RETIRED_TAG in tags:
            continue
        with transaction(rt.engine) as connection:
            lock_model(connection, spec.name)
            reason = _needed(spec, rt, version, tags, _use_of(rt, connection, spec.name))
            if reason is None:
                _retire(spec, rt, run, target, version, tags)
        if reason is None:
            retired.append(version)
        else:
            kept[str(version)] = reason
    return Retirement(model=spec.name, retired=retired, kept=kept)


def _use_of(rt: Runtime, connection: Connection, model: str) -> Use:
    running = select(rollouts.c.id, rollouts.c.version, rollouts.c.champion).where(
        rollouts.c.model == model, rollouts.c.state.in_(_OPEN_ROLLOUT)
    )
    involved = {version: row.id for row in connection.execute(running) for version in (row.version, row.champion) if version}
    wanted = connection.execute(select(desired_traffic.c.weights).where(desired_traffic.c.model == model)).scalar_one_or_none()
    traffic = {int(version): int(share) for version, share in (wanted or {}).items()}
    return Use(aliases_of(rt, model), involved, waiting_versions(connection, model), traffic, moves(rt, model))


def _needed(spec: ModelSpec, rt: Runtime, version: int, tags: dict[str, str], use: Use) -> str | None:
    """Why the version stays, or None when it may go."""
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
    return _too_early(spec, rt, version, tags, use.moves)


def _too_early(spec: ModelSpec, rt: Runtime, version: int, tags: dict[str, str], history: list[RowMapping]) -> str | None:
    """Whether the version lost its last alias (or was registered, if it never held one) less than retire_after ago."""
    done = [row["evidence"] | {"at": row["at"]} for row in history if row["phase"] == "done"]
    if done and version in done[0]["aliases_after"].values():
        return "its alias was taken by hand: see the foreign_change entries of the ledger"
    lost = (
        move["at"]
        for move in done
        if version in move["aliases_before"].values() and version not in move["aliases_after"].values()
    )
    since = next(lost, None) or datetime.fromisoformat(tags["registered_at"])
    age = rt.clock.now() - since
    if age >= spec.retention.retire_after:
        return None
    wanted = format_duration(spec.retention.retire_after)
    return f"without alias since {since:%Y-%m-%d %H:%M} UTC; retention.retire_after is {wanted}"


def _retire(spec: ModelSpec, rt: Runtime, run: RunContext, target: Target, version: int, tags: dict[str, str]) -> None:
    """Intended, server stopped, copy removed, tagged, proven, done."""
    intent = Entry(
        model=spec.name,
        kind="retirement",
        act=f"retire {version}",
        reason=f"no alias, rollout, candidate or traffic for {format_duration(spec.retention.retire_after)}",
        actor=run.actor,
        phase="intended",
        version_before=version,
        run_id=run.run_id,
        idempotency_key=f"retire:{spec.name}:{version}",
        evidence={"registered_at": tags["registered_at"], "manifest_digest": tags[MANIFEST_TAG]},
    )
    rt.ledger.write(intent)
    target.stop_server(spec.name, version)
    shutil.rmtree(rt.storage.served(spec.name, version), ignore_errors=True)
    proof = _prove_unserved(rt, target, spec.name, version)
    now = rt.clock.now()
    with registry_calls(rt, f"archiving version {version} of {spec.name}") as client:
        client.set_model_version_tag(spec.name, str(version), STAGE_TAG, ARCHIVED)
        client.set_model_version_tag(spec.name, str(version), RETIRED_TAG, now.isoformat())
    rt.ledger.write(intent.model_copy(update={"phase": "done", "evidence": intent.evidence | proof}))


def _prove_unserved(rt: Runtime, target: Target, model: str, version: int) -> dict[str, Any]:
    """Read back that no traffic, no server and no served copy is left; GateFailedError otherwise."""
    weights, servers = target.read_back(model), target.servers(model)
    folder = rt.storage.served(model, version)
    if weights.get(version, 0) or version in servers or folder.exists():
        raise GateFailedError(
            f"{model}: version {version} is still served after its server was stopped "
            f"(traffic {weights}, servers {sorted(servers)}, folder {'present' if folder.exists() else 'gone'})"
        )
    return {"traffic": {str(one): share for one, share in weights.items()}, "servers": sorted(servers)}
