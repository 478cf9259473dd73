"""A share that stands beside the champion although no rollout is open: left by one that was held or closed by hand.

Rollbacks and the kill switch end it first: the champion is innocent, so all traffic goes to it and its alias stays.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.errors import GateFailedError, LifecycleError
from include.lifecycle.rollout.gateway.traffic import DesiredTraffic, Server, read_desired
from include.lifecycle.rollout.hands import Hands
from include.lifecycle.rollout.lease import open_rollout
from include.lifecycle.rollout.servers import ready_servers
from include.lifecycle.rollout.ways_back.rollback_notes import note, phase_seen
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.tables import rollouts


@dataclass(frozen=True)
class Leftover:
    """`versions` have a share or get copies beside `champion`; none when only a baseline of the champion is left."""

    champion: int
    versions: tuple[int, ...]

    @property
    def version(self) -> int:
        """The version that loses something."""
        return self.versions[0] if self.versions else self.champion


def left_in(desired: DesiredTraffic | None) -> Leftover | None:
    """What the row asks for beside the champion's share; None without a champion, or when there is nothing."""
    if desired is None or desired.champion is None:
        return None
    versions = {version for version, weight in desired.weights.items() if weight and version != desired.champion}
    if desired.mirror is not None and desired.mirror.percent:
        versions.add(desired.mirror.version)
    return Leftover(desired.champion, tuple(sorted(versions))) if versions or desired.baseline is not None else None


def find_leftover(rt: Runtime, hands: Hands, model: str) -> Leftover | None:
    """What no open rollout answers for, while the alias says the same champion as the row. Errors: the registry is down."""
    with transaction(rt.engine) as connection:
        found = None if open_rollout(connection, model) is not None else left_in(read_desired(connection, model))
    return found if found is not None and hands.champion_of(rt, model) == found.champion else None


def begun_leftover(rt: Runtime, run: RunContext, model: str) -> Leftover | None:
    """What this run set out to end before it died."""
    begun = phase_seen(rt, run, model, "intended")
    found = begun["evidence"].get("leftover") if begun is not None else None
    return None if begun is None or found is None else Leftover(int(begun["version_after"]), tuple(found))


def end_leftover(rt: Runtime, run: RunContext, hands: Hands, left: Leftover, told: str) -> bool:
    """All traffic to the champion's full servers, then the other versions lose alias and servers; the ledger tells why.

    False when the traffic changed meanwhile, which has to be looked at again. The same run again ends in the same state, once.
    Raises GateFailedError when somebody else moved the traffic on; SourceUnavailableError when something does not answer.
    """
    model, versions = run.model, (left.version, left.champion)
    if phase_seen(rt, run, model, "done") is not None:
        return True
    if phase_seen(rt, run, model, "intended") is None and not _intend(rt, run, left, told):
        return False
    try:
        _act(rt, run, hands, left, told)
    except LifecycleError as problem:
        if not problem.retryable:
            note(rt, run, model, versions, "failed", told, error=str(problem))
        raise
    note(rt, run, model, versions, "done", told)
    return True


def _intend(rt: Runtime, run: RunContext, left: Leftover, told: str) -> bool:
    with transaction(rt.engine) as connection:
        lock_model(connection, run.model)
        if open_rollout(connection, run.model) is not None or left_in(read_desired(connection, run.model)) != left:
            return False
        versions = (left.version, left.champion)
        note(rt, run, run.model, versions, "intended", told, connection, leftover=list(left.versions))
    return True


def _act(rt: Runtime, run: RunContext, hands: Hands, left: Leftover, told: str) -> None:
    model, champion = run.model, left.champion

    def guard(connection: Connection) -> None:
        now = read_desired(connection, model)
        if now is None or now.champion != champion or open_rollout(connection, model) is not None:
            raise GateFailedError(f"{model}: somebody moved the traffic on meanwhile; look again, then roll back")

    server = _full_server(rt, hands, model, champion)
    wanted = DesiredTraffic(model=model, champion=champion, weights={champion: 100}, servers={champion: server})
    hands.target.apply(wanted, guard)
    for version in left.versions:
        hands.withdraw(rt, model, version, reason=told, key=f"rollback:{run.run_id}:withdraw:{version}", actor=run.actor)
        hands.target.stop_server(model, version)
    hands.target.stop_server(model, champion, baseline=True)


def _full_server(rt: Runtime, hands: Hands, model: str, champion: int) -> Server:
    """As many servers as the newest rollout was planned with; files that are here need no registry."""
    with transaction(rt.engine) as connection:
        desired = read_desired(connection, model)
        query = select(rollouts.c.plan).where(rollouts.c.model == model).order_by(rollouts.c.id.desc()).limit(1)
        plan = connection.execute(query).scalar()
    known = desired.servers.get(champion) if desired is not None else None
    count = max(len(known.ports) if known else 1, int((plan or {}).get("replicas") or 1))
    return ready_servers(rt, hands, model, champion, known, count, check=lambda: None)
