"""The acts of a rollout on the outside world, each idempotent and in the order that keeps clients safe.

Forward: servers, traffic, read back, alias. Back: traffic to the champion, read back, alias, then the challenger's server.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.rollout.lease import Lease
from include.lifecycle.rollout.states import PerformanceEvidence, Plan, Status, Transition
from include.lifecycle.rollout.targets.base import Target
from include.lifecycle.rollout.traffic import DesiredTraffic, Server, read_desired
from include.lifecycle.runtime import Runtime


@dataclass(frozen=True)
class Hands:
    """What a driver acts with: the target, the registry's aliases and files, and (optionally) the performance of both arms."""

    target: Target
    promote: Callable[..., None]
    demote: Callable[..., None]
    withdraw: Callable[..., None]
    champion_of: Callable[[Runtime, str], int | None]
    previous_of: Callable[[Runtime, str], int | None]
    foreign_aliases: Callable[[Runtime, str], dict[str, dict[str, int | None]]]
    materialise: Callable[[Runtime, str, int], tuple[Path, str]]
    performance: Callable[[Runtime, int, Plan], PerformanceEvidence | None] | None = None


def usual_hands(rt: Runtime) -> Hands:
    """The embedded target and the MLflow registry."""
    from include.lifecycle.registry.artefacts import materialise_version
    from include.lifecycle.registry.client import PREVIOUS, alias_version, champion_version
    from include.lifecycle.registry.promotion import demote, foreign_aliases, promote, withdraw
    from include.lifecycle.rollout.performance import performance_of
    from include.lifecycle.rollout.targets.embedded import EmbeddedTarget

    return Hands(
        target=EmbeddedTarget(rt),
        promote=promote,
        demote=demote,
        withdraw=withdraw,
        champion_of=champion_version,
        previous_of=lambda rt, model: alias_version(rt, model, PREVIOUS),
        foreign_aliases=foreign_aliases,
        materialise=materialise_version,
        performance=performance_of,
    )


@dataclass(frozen=True)
class Effects:
    """Carries out one transition of one rollout under one lease."""

    rt: Runtime
    hands: Hands
    lease: Lease
    plan: Plan
    status: Status

    def carry_out(self, transition: Transition) -> None:
        """Do what the transition says; calling it again after a crash ends in the same state, once."""
        {
            "shift_traffic": self._shift,
            "promote": self._promote,
            "confirm": self._confirm,
            "roll_back": self._back,
            "abort": self._back,
        }.get(transition.act, self._nothing)(transition)

    @property
    def key(self) -> str:
        """Idempotency key of the transition that is being carried out."""
        return f"rollout:{self.lease.rollout_id}:{self.status.sequence}"

    @property
    def actor(self) -> str:
        """Name of the driver in the ledger."""
        return f"rollout:{self.lease.rollout_id}"

    def _nothing(self, transition: Transition) -> None:
        """Waiting and holding change nothing outside."""

    def _shift(self, transition: Transition) -> None:
        servers = {version: self.serve(version) for version in transition.weights}
        self._apply(transition.weights, servers, self.plan.champion)

    def _promote(self, transition: Transition) -> None:
        self._shift(transition)
        model, version = self.plan.model, self.plan.version
        told = {"reason": transition.reason, "key": f"{self.key}:promote", "actor": self.actor}
        with transaction(self.rt.engine) as connection:
            lock_model(connection, model)
            self.lease.check(connection)  # holds off a takeover until the alias is moved: else it could move after the way back
            self.hands.promote(self.rt, model, version, connection=connection, **told)

    def _confirm(self, transition: Transition) -> None:
        version, old = self.plan.version, self.plan.champion
        self._apply({version: 100}, {version: self.serve(version)}, version)
        if old is not None and old != version:
            self._check_lease()
            self.hands.target.stop_server(self.plan.model, old)

    def _back(self, transition: Transition) -> None:
        """Traffic first. A version that never got traffic only loses its alias and server; the only version goes on serving."""
        model, version = self.plan.model, self.plan.version
        touched = bool(self.status.weights) or self._asks_for(version)
        if touched and transition.weights:
            servers = {one: self.serve(one) for one in transition.weights}
            self._apply(transition.weights, servers, self.plan.champion)
        self._check_lease()
        told = {"reason": transition.reason, "actor": self.actor}
        if self.hands.champion_of(self.rt, model) == version:
            self.hands.demote(self.rt, model, version, self.plan.champion, key=f"{self.key}:demote", **told)
        else:
            self.hands.withdraw(self.rt, model, version, key=f"{self.key}:withdraw", **told)
        if not self._asks_for(version):
            self._check_lease()
            self.hands.target.stop_server(model, version)

    def serve(self, version: int) -> Server:
        """Have a ready server of `version`; one that serves already needs neither registry nor files: going back must not."""
        with transaction(self.rt.engine) as connection:
            desired = read_desired(connection, self.plan.model)
        known = desired.servers.get(version) if desired else None
        if known is not None and (Path(known.folder).is_dir() or self._runs(version, known)):
            folder, digest = Path(known.folder), known.digest
        else:
            folder, digest = self.hands.materialise(self.rt, self.plan.model, version)
        self._check_lease()
        logs = self.rt.storage.predictions(self.plan.model)
        port = self.hands.target.ensure_server(self.plan.model, version, folder, digest, logs)
        return Server(port=port, digest=digest, folder=str(folder))

    def _runs(self, version: int, known: Server) -> bool:
        return self.hands.target.servers(self.plan.model).get(version) == known.port

    def _apply(self, weights: dict[int, int], servers: dict[int, Server], champion: int | None) -> None:
        desired = DesiredTraffic(model=self.plan.model, champion=champion, weights=weights, servers=servers)
        self.hands.target.apply(desired, self.lease.check)

    def _asks_for(self, version: int) -> bool:
        with transaction(self.rt.engine) as connection:
            desired = read_desired(connection, self.plan.model)
        return desired is not None and version in desired.weights

    def _check_lease(self) -> None:
        with transaction(self.rt.engine) as connection:
            self.lease.check(connection)
