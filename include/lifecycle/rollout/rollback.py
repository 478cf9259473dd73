"""A rollback from outside (a person, another system, an alert): traffic and champion alias go back, or to a named version.

Stands beside rollouts: an open one is taken over and aborted first. Order: server, traffic, read back, alias, old server stops.
What a run set out to do stands in the ledger first: the same run again, after a kill, goes back no further.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, select

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.errors import ArtefactDigestError, GateFailedError, LifecycleError, SourceQueryError
from include.lifecycle.results import RollbackPlan, RolloutOutcome
from include.lifecycle.rollout.driver import abort_rollout
from include.lifecycle.rollout.hands import Hands, usual_hands
from include.lifecycle.rollout.lease import open_rollout
from include.lifecycle.rollout.rollback_notes import check_kind, note, note_stop, phase_seen
from include.lifecycle.rollout.states import State
from include.lifecycle.rollout.traffic import DesiredTraffic, Server
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import rollouts

_ROUNDS = 3  # so often may another rollout be planned between two looks of one rollback


@dataclass(frozen=True)
class Occasion:
    """What a rollback is about: the kind of its reason, and `leaving`, the version that an alert complains of.

    With `leaving`, nothing is done unless that version is the champion or an open rollout's: an alert says nothing about others.
    """

    kind: str = "incident"
    leaving: int | None = None


def roll_back_model(
    spec: ModelSpec,
    rt: Runtime,
    run: RunContext,
    *,
    reason: str,
    by: str,
    to_version: int | None = None,
    occasion: Occasion = Occasion(),
    hands: Hands | None = None,
) -> RolloutOutcome:
    """Go back to `to_version`, or to the version with the alias `previous`; the same run again changes nothing.

    An open rollout is aborted. That is the whole rollback when it had traffic, unless another version was named or it was
    promoted just before. `occasion` says what it is about.

    Raises GateFailedError when there is nothing to go back to or the version's files are nowhere (the traffic stays then);
    SourceUnavailableError when something does not answer.
    """
    used = hands or usual_hands(rt)
    told = f"rollback by {by} ({check_kind(occasion.kind)}): {reason}"
    leaving = occasion.leaving
    if leaving is not None and phase_seen(rt, run, spec.name, "intended") is None:
        _refuse_gone(rt, used, spec.name, leaving)
    for _ in range(_ROUNDS):
        stopped = _rollout_to_stop(rt, run, spec.name, told)
        if stopped is not None:
            outcome = abort_rollout(rt, stopped["rollout"], f"rollback:{run.run_id}", told, hands=used)
            returned = stopped["had_traffic"] and outcome.state != State.PROMOTED
            if returned and to_version in (None, stopped["champion"]):
                return outcome
        if (done := _go_back(spec, rt, run, used, told, to_version)) is not None:
            return done
    raise GateFailedError(f"{spec.name}: a new rollout was planned each time; freeze the model, then roll back")


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
        if _had_traffic(row) and to_version in (None, row["champion"]):
            return plan.model_copy(update={"files": "the champion's server runs"})
    try:
        champion, target = _versions(rt, used, spec.name, to_version)
        folder, _ = _files(rt, used, spec.name, target)
    except GateFailedError as problem:
        return plan.model_copy(update={"stops": str(problem)})
    return plan.model_copy(update={"leave": champion, "enter": target, "files": f"whole, in {folder}"})


def _refuse_gone(rt: Runtime, hands: Hands, model: str, leaving: int) -> None:
    with transaction(rt.engine) as connection:
        row = open_rollout(connection, model)
    if row is not None and row["version"] == leaving:
        return
    champion = hands.champion_of(rt, model)
    if champion != leaving:
        raise GateFailedError(f"{model}: version {leaving} has no traffic to take (champion is {champion}); nothing was changed")


def _had_traffic(row: RowMapping) -> bool:
    return row["state"] != State.PLANNED or row["status"].get("pending") is not None


def _rollout_to_stop(rt: Runtime, run: RunContext, model: str, told: str) -> dict[str, Any] | None:
    """The open rollout (`rollout`, `champion`, `had_traffic`), or the one that this run found open when it began."""
    with transaction(rt.engine) as connection:
        row = open_rollout(connection, model)
    seen = phase_seen(rt, run, model, "noted")
    if seen is not None and (row is None or row["id"] == seen["evidence"]["rollout"]):
        return dict(seen["evidence"])
    if row is None or phase_seen(rt, run, model, "intended") is not None:
        return None
    found = {"rollout": row["id"], "version": row["version"], "champion": row["champion"], "had_traffic": _had_traffic(row)}
    if seen is None:
        note_stop(rt, run, model, told, found)
    return found


def _go_back(
    spec: ModelSpec, rt: Runtime, run: RunContext, hands: Hands, told: str, to_version: int | None
) -> RolloutOutcome | None:
    """From champion to target; None when a rollout was planned meanwhile, which has to be ended first."""
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
    if begun is None and not _intend(rt, run, model, versions, told):
        return None
    try:
        _act(rt, run, hands, model, versions, server, told)
    except LifecycleError as problem:
        if not problem.retryable:
            note(rt, run, model, versions, "failed", told, error=str(problem))
        raise
    note(rt, run, model, versions, "done", told)
    return outcome


def _intend(rt: Runtime, run: RunContext, model: str, versions: tuple[int, int], told: str) -> bool:
    """Write the intent under the model's lock, unless a rollout is open; plan_rollout, under the same lock, sees it."""
    with transaction(rt.engine) as connection:
        lock_model(connection, model)
        if open_rollout(connection, model) is not None:
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
