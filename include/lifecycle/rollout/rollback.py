"""A person's or a policy's rollback: the model's traffic and champion alias go back to the previous version, or a named one.

Stands beside rollouts: an open one is taken over and aborted first. Order: server, traffic, read back, alias, old server stops.
What a run set out to do stands in the ledger first: the same run again, after a kill, goes back no further.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping, select

from include.lifecycle.database import transaction
from include.lifecycle.errors import ArtefactDigestError, GateFailedError, SourceQueryError
from include.lifecycle.ledger import Entry, Phase
from include.lifecycle.results import RolloutOutcome
from include.lifecycle.rollout.driver import abort_rollout
from include.lifecycle.rollout.effects import Hands, usual_hands
from include.lifecycle.rollout.lease import open_rollout
from include.lifecycle.rollout.states import State
from include.lifecycle.rollout.traffic import DesiredTraffic, Server
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import rollouts


def roll_back_model(
    spec: ModelSpec, rt: Runtime, run: RunContext, *, reason: str, by: str, to_version: int | None, hands: Hands | None = None
) -> RolloutOutcome:
    """Go back to `to_version`, or to the version with the alias `previous`; the same run again changes nothing.

    An open rollout is aborted. That is the whole rollback when it had traffic, unless another version was named or it was
    promoted just before. Raises GateFailedError when there is nothing to go back to or the version's files are gone;
    SourceUnavailableError when something does not answer.
    """
    used = hands or usual_hands(rt)
    told = f"rollback by {by}: {reason}"
    stopped = _rollout_to_stop(rt, run, spec.name, told)
    if stopped is not None:
        outcome = abort_rollout(rt, stopped["rollout"], f"rollback:{run.run_id}", told, hands=used)
        returned = stopped["had_traffic"] and outcome.state != State.PROMOTED
        if returned and to_version in (None, stopped["champion"]):
            return outcome
    return _go_back(rt, run, used, spec.name, told, to_version)


def _rollout_to_stop(rt: Runtime, run: RunContext, model: str, told: str) -> dict[str, Any] | None:
    """The open rollout (`rollout`, `champion`, `had_traffic`), or the one that this run found open when it began."""
    if (seen := _phase_seen(rt, run, model, "noted")) is not None:
        return dict(seen["evidence"])
    with transaction(rt.engine) as connection:
        row = open_rollout(connection, model)
    if row is None or _phase_seen(rt, run, model, "intended") is not None:
        return None
    had_traffic = row["state"] != State.PLANNED or row["status"].get("pending") is not None
    found = {"rollout": row["id"], "champion": row["champion"], "had_traffic": had_traffic}
    entry = Entry(
        model=model,
        kind="rollback",
        act=f"stop rollout {row['id']}",
        actor=run.actor,
        reason=told,
        version_before=row["version"],
        version_after=row["champion"],
        run_id=run.run_id,
        idempotency_key=f"rollback:{model}:{run.run_id}:stop",
        evidence=found,
    )
    rt.ledger.write(entry)
    return found


def _go_back(rt: Runtime, run: RunContext, hands: Hands, model: str, told: str, to_version: int | None) -> RolloutOutcome:
    champion, target = _versions(rt, hands, run, model, to_version)
    row = _rollout_of(rt, model, champion)
    outcome = RolloutOutcome(
        rollout_id=row["id"] if row else 0, model=model, version=champion, state=State.ROLLED_BACK, reason=f"{told}; now {target}"
    )
    if _phase_seen(rt, run, model, "done"):
        return outcome
    server = _server(rt, hands, model, target)
    _note(rt, run, model, champion, target, "intended", told)
    hands.target.apply(DesiredTraffic(model=model, champion=target, weights={target: 100}, servers={target: server}))
    hands.demote(rt, model, champion, target, reason=told, key=f"rollback:{run.run_id}", actor=run.actor)
    hands.target.stop_server(model, champion)
    _note(rt, run, model, champion, target, "done", told)
    return outcome


def _versions(rt: Runtime, hands: Hands, run: RunContext, model: str, to_version: int | None) -> tuple[int, int]:
    """The version to leave and the one to go to; a rollback that this run began already keeps its own."""
    begun = _phase_seen(rt, run, model, "intended")
    if begun is not None:
        return int(begun["version_before"]), int(begun["version_after"])
    champion = hands.champion_of(rt, model)
    if champion is None:
        raise GateFailedError(f"{model} has no champion, so there is nothing to roll back from")
    target = to_version if to_version is not None else hands.previous_of(rt, model)
    if target is None:
        raise GateFailedError(f"{model}: champion {champion} has no previous version; name one (to_version)")
    if target == champion:
        raise GateFailedError(f"{model}: version {target} is the champion already")
    return champion, target


def _server(rt: Runtime, hands: Hands, model: str, version: int) -> Server:
    try:
        folder, digest = hands.materialise(rt, model, version)
    except (ArtefactDigestError, SourceQueryError) as problem:
        raise GateFailedError(f"{model}: version {version} cannot be served any more: {problem}") from problem
    ports = hands.target.ensure_server(model, version, folder, digest, rt.storage.predictions(model))
    return Server(ports=ports, digest=digest, folder=str(folder))


def _rollout_of(rt: Runtime, model: str, version: int) -> RowMapping | None:
    """The newest rollout that brought `version`."""
    query = select(rollouts).where(rollouts.c.model == model, rollouts.c.version == version).order_by(rollouts.c.id.desc())
    with transaction(rt.engine) as connection:
        return connection.execute(query).mappings().first()


def _phase_seen(rt: Runtime, run: RunContext, model: str, phase: Phase) -> RowMapping | None:
    mine = (row for row in rt.ledger.read(model, kind="rollback") if row["run_id"] == run.run_id)
    return next((row for row in mine if row["phase"] == phase), None)


def _note(rt: Runtime, run: RunContext, model: str, champion: int, target: int, phase: Phase, told: str) -> None:
    entry = Entry(
        model=model,
        kind="rollback",
        act=f"roll back to {target}",
        phase=phase,
        actor=run.actor,
        reason=told,
        version_before=champion,
        version_after=target,
        run_id=run.run_id,
        idempotency_key=f"rollback:{model}:{run.run_id}",
        evidence={"weights": {target: 100}},
    )
    rt.ledger.write(entry)
