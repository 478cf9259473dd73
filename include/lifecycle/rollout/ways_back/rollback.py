"""A rollback from outside (a person, another system, an alert): traffic and champion alias go back, or to a named version.

Stands beside rollouts: an open one is taken over and aborted first. Order: server, traffic, read back, alias, old server stops.
What a run set out to do stands in the ledger first: the same run again, after a kill, goes back no further.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from sqlalchemy import select

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.errors import ArtefactDigestError, GateFailedError, LifecycleError, SourceQueryError
from include.lifecycle.results import RollbackPlan, RolloutOutcome
from include.lifecycle.rollout.driver import abort_rollout
from include.lifecycle.rollout.gateway.traffic import DesiredTraffic, Server
from include.lifecycle.rollout.hands import Hands, usual_hands
from include.lifecycle.rollout.lease import open_rollout
from include.lifecycle.rollout.states import State
from include.lifecycle.rollout.ways_back.leftover import Leftover, begun_leftover, end_leftover, find_leftover
from include.lifecycle.rollout.ways_back.occasion import ANY, Occasion, had_traffic, refuse_innocent, refuse_needless
from include.lifecycle.rollout.ways_back.rollback_notes import check_kind, note, note_stop, phase_seen
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import rollouts

__all__ = ["Occasion", "plan_rollback", "roll_back_model"]

_ROUNDS = 3  # so often may another rollout be planned between two looks of one rollback


def roll_back_model(
    spec: ModelSpec,
    rt: Runtime,
    run: RunContext,
    *,
    reason: str,
    by: str,
    to_version: int | None = None,
    occasion: Occasion = ANY,
    hands: Hands | None = None,
) -> RolloutOutcome:
    """Go back to `to_version`, or to the version with the alias `previous`; the same run again changes nothing.

    An open rollout is aborted. That is the whole rollback when it had traffic, unless another version was named or it was
    promoted just before; so it is when a share that no rollout answers for is ended. `occasion` says what it is about.

    Raises GateFailedError when there is nothing to go back to or the version's files are nowhere (the traffic stays then);
    SourceUnavailableError when something does not answer.
    """
    used = hands or usual_hands(rt)
    told = f"rollback by {by} ({check_kind(occasion.kind)}): {reason}"
    if not any(phase_seen(rt, run, spec.name, phase) for phase in ("noted", "intended")):
        refuse_needless(rt, used, spec.name, occasion)
    for _ in range(_ROUNDS):
        stopped = _rollout_to_stop(rt, run, spec.name, told)
        if stopped is not None:
            holder = f"rollback:{run.run_id}:{uuid4().hex[:8]}"
            outcome = abort_rollout(rt, stopped["rollout"], holder, told, hands=used)
            if _was_all(stopped, occasion.leaving, to_version) and outcome.state != State.PROMOTED:
                return outcome
        left = begun_leftover(rt, run, spec.name) or _leftover_meant(rt, run, used, occasion.leaving, to_version)
        if left is None:
            done = _go_back(spec, rt, run, used, told, to_version, occasion)
        else:
            done = _outcome(rt, spec.name, (left.version, left.champion), told)
            done = done if end_leftover(rt, run, used, left, told) else None
        if done is not None:
            return done
    raise GateFailedError(f"{spec.name}: rollouts or champion changed each time; freeze the model, then roll back")


def plan_rollback(spec: ModelSpec, rt: Runtime, *, to_version: int | None = None, hands: Hands | None = None) -> RollbackPlan:
    """What `roll_back_model` would do now; nothing changes, but a version's missing files may be fetched to see that they exist.

    Raises SourceUnavailableError when MLflow, the database or the gateway does not answer.
    """
    used = hands or usual_hands(rt)
    with transaction(rt.engine) as connection:
        row = open_rollout(connection, spec.name)
    plan = RollbackPlan(model=spec.name, weights=used.target.read_back(spec.name))
    if row is not None:
        plan = plan.model_copy(update={"rollout": row["id"], "leave": row["version"], "enter": row["champion"]})
        if had_traffic(row) and to_version in (None, row["champion"]):
            return plan.model_copy(update={"files": "the champion's server runs"})
    left = None if row is not None else find_leftover(rt, used, spec.name)
    if left is not None and to_version in (None, left.champion):
        return plan.model_copy(update={"leave": left.version, "enter": left.champion, "files": "the champion's server runs"})
    try:
        champion, target = _versions(rt, used, spec.name, to_version)
        folder, _ = _files(rt, used, spec.name, target)
    except GateFailedError as problem:
        return plan.model_copy(update={"stops": str(problem)})
    return plan.model_copy(update={"leave": champion, "enter": target, "files": f"whole, in {folder}"})


def _was_all(stopped: dict[str, Any], leaving: int | None, to_version: int | None) -> bool:
    """Whether the end of that rollout is all that was asked for."""
    if to_version not in (None, stopped["champion"]):
        return False
    if stopped["version"] == stopped["champion"]:  # an A/A test: whoever complains of the version means the champion
        return leaving is None and bool(stopped["had_traffic"])
    return bool(stopped["had_traffic"]) or leaving == stopped["version"]


def _leftover_meant(rt: Runtime, run: RunContext, hands: Hands, leaving: int | None, to_version: int | None) -> Leftover | None:
    """The share that no rollout answers for, unless another version was named, or the complaint is about the champion."""
    if phase_seen(rt, run, run.model, "intended") is not None:
        return None
    left = find_leftover(rt, hands, run.model)
    return None if left is None or leaving == left.champion or to_version not in (None, left.champion) else left


def _rollout_to_stop(rt: Runtime, run: RunContext, model: str, told: str) -> dict[str, Any] | None:
    """The open rollout (`rollout`, `champion`, `had_traffic`), or the one that this run found open when it began."""
    with transaction(rt.engine) as connection:
        row = open_rollout(connection, model)
    seen = phase_seen(rt, run, model, "noted")
    if seen is not None and (row is None or row["id"] == seen["evidence"]["rollout"]):
        return dict(seen["evidence"])
    if row is None or phase_seen(rt, run, model, "intended") is not None:
        return None
    found = {"rollout": row["id"], "version": row["version"], "champion": row["champion"], "had_traffic": had_traffic(row)}
    if seen is None:
        note_stop(rt, run, model, told, found)
    return found


def _go_back(
    spec: ModelSpec, rt: Runtime, run: RunContext, hands: Hands, told: str, to_version: int | None, occasion: Occasion
) -> RolloutOutcome | None:
    """From champion to target; None when a rollout was planned meanwhile, or the champion changed: look again."""
    model = spec.name
    begun = phase_seen(rt, run, model, "intended")
    if begun is not None:  # a rollback that this run began keeps its versions
        versions = int(begun["version_before"]), int(begun["version_after"])
    else:
        versions = _versions(rt, hands, model, to_version)
    outcome = _outcome(rt, model, versions, told)
    if phase_seen(rt, run, model, "done"):
        return outcome
    server = _server(spec, rt, hands, versions[1])
    if begun is None and not _intend(rt, run, hands, versions, told, occasion):
        return None
    try:
        _act(rt, run, hands, model, versions, server, told)
    except LifecycleError as problem:
        if not problem.retryable:
            note(rt, run, model, versions, "failed", told, error=str(problem))
        raise
    note(rt, run, model, versions, "done", told)
    return outcome


def _intend(rt: Runtime, run: RunContext, hands: Hands, versions: tuple[int, int], told: str, occasion: Occasion) -> bool:
    """Write the intent under the model's lock, unless a rollout is open; plan_rollout, under the same lock, sees it.

    GateFailedError when somebody was faster and the champion, which now has all traffic, is innocent.
    """
    model = run.model
    with transaction(rt.engine) as connection:
        lock_model(connection, model)
        if open_rollout(connection, model) is not None:
            return False
        champion = hands.champion_of(rt, model)
        stopped = phase_seen(rt, run, model, "noted")
        refuse_innocent(rt, connection, model, champion, occasion, stopped["evidence"]["rollout"] if stopped else None)
        if champion != versions[0]:
            return False
        note(rt, run, model, versions, "intended", told, connection)
    return True


def _act(rt: Runtime, run: RunContext, hands: Hands, model: str, versions: tuple[int, int], server: Server, told: str) -> None:
    champion, target = versions
    hands.target.apply(DesiredTraffic(model=model, champion=target, weights={target: 100}, servers={target: server}))
    hands.demote(rt, model, champion, target, reason=told, key=f"rollback:{run.run_id}", actor=run.actor)
    hands.target.stop_server(model, champion)


def _versions(rt: Runtime, hands: Hands, model: str, to_version: int | None) -> tuple[int, int]:
    """The version to leave and the one to go to."""
    champion = hands.champion_of(rt, model)
    if champion is None:
        raise GateFailedError(f"{model} has no champion, so there is nothing to roll back from")
    target = to_version if to_version is not None else hands.previous_of(rt, model)
    if target is None:
        raise GateFailedError(f"{model}: champion {champion} has no previous version; name one (to_version)")
    if target == champion:
        raise GateFailedError(f"{model}: version {target} is the champion already")
    return champion, target


def _files(rt: Runtime, hands: Hands, model: str, version: int) -> tuple[Any, str]:
    """The version's verified folder and digest: the local copy, or fetched again where that is gone or damaged."""
    try:
        return hands.materialise(rt, model, version)
    except (ArtefactDigestError, SourceQueryError) as problem:
        raise GateFailedError(
            f"{model}: version {version} cannot be served any more, so the traffic stays as it is: {problem}"
        ) from problem


def _server(spec: ModelSpec, rt: Runtime, hands: Hands, version: int) -> Server:
    folder, digest = _files(rt, hands, spec.name, version)
    logs = rt.storage.predictions(spec.name)
    ports = hands.target.ensure_server(spec.name, version, folder, digest, logs, replicas=spec.server.replicas)
    return Server(ports=ports, digest=digest, folder=str(folder))


def _outcome(rt: Runtime, model: str, versions: tuple[int, int], told: str) -> RolloutOutcome:
    """Told of the newest rollout that brought the version which is left."""
    champion, target = versions
    query = select(rollouts.c.id).where(rollouts.c.model == model, rollouts.c.version == champion).order_by(rollouts.c.id.desc())
    with transaction(rt.engine) as connection:
        number = connection.execute(query.limit(1)).scalar()
    state, reason = State.ROLLED_BACK, f"{told}; now {target}"
    return RolloutOutcome(rollout_id=number or 0, model=model, version=champion, state=state, reason=reason)
