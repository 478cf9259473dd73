"""Stage retire_versions: archive versions that nobody needs any more, and prove that nothing serves them.

A version may go when it holds no alias, is in no rollout, waits for none, gets no traffic, and lost its last alias long enough
ago. Its files in MLflow stay, so it can be brought back; its server goes, and its served copy unless it is among the newest.
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
from include.lifecycle.registry.promotion import moves
from include.lifecycle.registry.stages import ARCHIVED, STAGE_TAG
from include.lifecycle.results import Retirement
from include.lifecycle.rollout.states import OPEN_STATES
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import desired_traffic, rollouts
from include.lifecycle.units import format_duration

if TYPE_CHECKING:
    from include.lifecycle.rollout.targets.base import Target

RETIRED_TAG = "retired_at"


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
    entries = versions_of(rt, spec.name)
    newest = {int(entry.version) for entry in entries[-spec.retention.keep_versions :]}
    retired, kept = [], {}
    for entry in entries:
        version, tags = int(entry.version), dict(entry.tags)
        if RETIRED_TAG in tags and tags.get(STAGE_TAG) == ARCHIVED:
            _drop_copy(rt, spec.name, version, newest)
            continue
        with transaction(rt.engine) as connection:
            lock_model(connection, spec.name)
            reason = _needed(spec, rt, version, tags, use := _use_of(rt, connection, spec.name))
            if reason is None:
                since = _released_at(version, tags, use.moves)
                _retire(rt, target, _intent(spec, run, version, tags, since), version, newest)
        if reason is None:
            retired.append(version)
        else:
            kept[str(version)] = reason
    return Retirement(model=spec.name, retired=retired, kept=kept)


def _use_of(rt: Runtime, connection: Connection, model: str) -> Use:
    running = select(rollouts.c.id, rollouts.c.version, rollouts.c.champion).where(
        rollouts.c.model == model, rollouts.c.state.in_(OPEN_STATES)
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
    last = next((row for row in history if row["phase"] == "done"), None)
    if last is not None and version in last["evidence"]["aliases_after"].values():
        return "its alias was taken by hand: see the foreign_change entries of the ledger"
    since = _released_at(version, tags, history)
    if rt.clock.now() - since >= spec.retention.retire_after:
        return None
    wanted = format_duration(spec.retention.retire_after)
    return f"without alias since {since:%Y-%m-%d %H:%M} UTC; retention.retire_after is {wanted}"


def _released_at(version: int, tags: dict[str, str], history: list[RowMapping]) -> datetime:
    """Event time at which the version lost its last alias, by the ledger; of its registration when it never held one."""
    for row in history:
        before, after = (row["evidence"][name].values() for name in ("aliases_before", "aliases_after"))
        if row["phase"] == "done" and version in before and version not in after:
            moment: datetime = row["at"]
            return moment
    return datetime.fromisoformat(tags["registered_at"])


def _intent(spec: ModelSpec, run: RunContext, version: int, tags: dict[str, str], since: datetime) -> Entry:
    unused = f"no alias, rollout, candidate or traffic since {since:%Y-%m-%d %H:%M} UTC"
    return Entry(
        model=spec.name,
        kind="retirement",
        act=f"retire {version}",
        reason=f"{unused}, longer than {format_duration(spec.retention.retire_after)}",
        actor=run.actor,
        phase="intended",
        version_before=version,
        run_id=run.run_id,
        idempotency_key=f"retire:{spec.name}:{version}:{since.isoformat()}",
        evidence={"without_alias_since": since.isoformat(), "manifest_digest": tags[MANIFEST_TAG]},
    )


def _retire(rt: Runtime, target: Target, intent: Entry, version: int, newest: set[int]) -> None:
    """Intended, server stopped, copy removed, proven, tagged, done."""
    rt.ledger.write(intent)
    target.stop_server(intent.model, version)
    proof = _prove_unserved(target, intent.model, version)
    proof["copy"] = _drop_copy(rt, intent.model, version, newest)
    with registry_calls(rt, f"archiving version {version} of {intent.model}") as client:
        client.set_model_version_tag(intent.model, str(version), RETIRED_TAG, rt.clock.now().isoformat())
        client.set_model_version_tag(intent.model, str(version), STAGE_TAG, ARCHIVED)
    rt.ledger.write(intent.model_copy(update={"phase": "done", "evidence": intent.evidence | proof}))


def _drop_copy(rt: Runtime, model: str, version: int, newest: set[int]) -> str:
    """Remove the served copy, unless the version is among the newest `retention.keep_versions`; MLflow keeps the original."""
    if version in newest:
        return "kept"
    folder = rt.storage.served(model, version)
    if folder.exists():
        shutil.rmtree(folder)
    return "removed"


def _prove_unserved(target: Target, model: str, version: int) -> dict[str, Any]:
    """Read back that no traffic and no server is left; GateFailedError otherwise."""
    weights, servers = target.read_back(model), target.servers(model)
    if weights.get(version, 0) or version in servers:
        raise GateFailedError(
            f"{model}: version {version} is still served after its server was stopped "
            f"(traffic {weights}, servers {sorted(servers)})"
        )
    return {"traffic": {str(one): share for one, share in weights.items()}, "servers": sorted(servers)}
