"""The acts of a rollout on the outside world, each idempotent and in the order that keeps clients safe.

Forward: servers, traffic, read back, alias. Back: traffic to the champion, read back, alias, then the challenger's servers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.errors import GateFailedError
from include.lifecycle.rollout.before_traffic.probes import infer_url, warm_up
from include.lifecycle.rollout.gateway.traffic import Baseline, DesiredTraffic, Mirror, Server, read_desired
from include.lifecycle.rollout.hands import Hands
from include.lifecycle.rollout.lease import Lease
from include.lifecycle.rollout.servers import ready_servers
from include.lifecycle.rollout.states import Plan, Stage, State, Status, Transition
from include.lifecycle.runtime import Runtime


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
            "conclude": self._confirm,
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
        """Waiting, pausing, holding and resuming change nothing outside."""

    def _shift(self, transition: Transition) -> None:
        """New servers, then the traffic, then the servers that the stage has no use for any more are drained.

        The target takes servers out of the traffic only when the new split is in force.
        """
        stage = self.plan.stage_at(transition.step) if transition.state is State.RUNNING else None
        counts = self.plan.servers_at(transition.step)
        present = {version: self.serve(version, max(counts[version], self._present(version))) for version in transition.weights}
        kept = {version: _first(server, counts[version]) for version, server in present.items()}
        self._apply(transition.weights, kept, self.plan.champion, stage)
        for version in transition.weights:
            if kept[version] != present[version]:
                self.serve(version, counts[version])
        if stage is None or not stage.baseline:
            self._end_baseline()

    def _asked(self, version: int) -> int:
        """Servers of the version that the intended traffic names."""
        return _named(self._desired(), version)

    def _present(self, version: int) -> int:
        """Servers of the version that may have traffic: after a kill, the gateway may still use what the intent leaves out."""
        desired = self._desired()
        known = _named(desired, version)
        if desired is not None and desired.applied and known:
            return known
        return max(known, len(self.hands.target.servers(self.plan.model).get(version, ())), 1)

    def _promote(self, transition: Transition) -> None:
        self._shift(transition)
        model, version = self.plan.model, self.plan.version
        told = {"reason": transition.reason, "key": f"{self.key}:promote", "actor": self.actor}
        with transaction(self.rt.engine) as connection:
            lock_model(connection, model)
            self._check(connection)  # holds off a takeover until the alias is moved: else it could move after the way back
            self.hands.promote(self.rt, model, version, connection=connection, **told)

    def _confirm(self, transition: Transition) -> None:
        """One version serves, without a baseline or an older one beside it; an A/A test has no older one."""
        version, old = self.plan.version, self.plan.champion
        self._apply({version: 100}, {version: self.serve(version, self.plan.replicas)}, version)
        self._end_baseline()
        if old is not None and old != version:
            self._check_lease()
            self.hands.target.stop_server(self.plan.model, old)

    def _back(self, transition: Transition) -> None:
        """Traffic first. A version that never got traffic only loses its alias and server; the only version goes on serving."""
        model, version = self.plan.model, self.plan.version
        before = self._desired()
        begun = bool(self.status.weights) or (before is not None and version in before.weights)
        touched = begun and self._stranger(before) is None
        if touched and transition.weights:
            servers = {one: self.serve(one, self._present(one)) for one in transition.weights}
            self._apply(transition.weights, servers, self.plan.champion)
        self._check_lease()
        if self.plan.champion == version:  # an A/A test: the version is the champion, whatever the test says
            self._end_baseline()
            return
        self._unname(transition)
        self._end_baseline()
        if not self._asked(version):
            self._check_lease()
            self.hands.target.stop_server(model, version)
        if touched and self.plan.champion is not None:
            self._full_strength(self.plan.champion)

    def _full_strength(self, champion: int) -> None:
        """A rolling rollout took servers from the champion; it gets them back."""
        if self.plan.replicas > self._asked(champion):
            servers = {champion: self.serve(champion, self.plan.replicas)}
            self._apply({champion: 100}, servers, champion)

    def _unname(self, transition: Transition) -> None:
        model, version = self.plan.model, self.plan.version
        told = {"reason": transition.reason, "actor": self.actor}
        if self.hands.champion_of(self.rt, model) == version:
            self.hands.demote(self.rt, model, version, self.plan.champion, key=f"{self.key}:demote", **told)
        else:
            self.hands.withdraw(self.rt, model, version, key=f"{self.key}:withdraw", **told)

    def serve(self, version: int, count: int = 1) -> Server:
        """Have `count` ready servers; a version that serves already needs neither registry nor files: going back must not."""
        desired = self._desired()
        known = desired.servers.get(version) if desired else None
        return ready_servers(self.rt, self.hands, self.plan.model, version, known, count, check=self._check_lease)

    def _apply(
        self, weights: dict[int, int], servers: dict[int, Server], champion: int | None, stage: Stage | None = None
    ) -> None:
        beside = {} if stage is None else self._beside(stage, servers)
        desired = DesiredTraffic(model=self.plan.model, champion=champion, weights=weights, servers=servers, **beside)
        self.hands.target.apply(desired, self._check)

    def _beside(self, stage: Stage, servers: dict[int, Server]) -> dict[str, Baseline | Mirror | str | None]:
        """What a stage asks of the gateway beside the split: a baseline arm, copies, sticky keys."""
        mirror = Mirror(version=self.plan.version, percent=stage.mirror) if stage.mirror else None
        sticky = self.plan.ab_test.sticky_header if stage.sticky and self.plan.ab_test else None
        return {"baseline": self._baseline(stage, servers), "mirror": mirror, "sticky": sticky}

    def _baseline(self, stage: Stage, servers: dict[int, Server]) -> Baseline | None:
        champion = self.plan.champion
        if not stage.baseline or champion is None:
            return None
        desired = self._desired()
        begins = desired is None or desired.baseline is None
        if begins:  # a server from before would be warm
            self._end_baseline()
        self._check_lease()
        model, server, logs = self.plan.model, servers[champion], self.rt.storage.predictions(self.plan.model)
        ports = self.hands.target.ensure_server(model, champion, Path(server.folder), server.digest, logs, baseline=True)
        if begins:  # the challenger answered as much in its serving check
            warm_up(infer_url(ports[0], model, champion), Path(server.folder))
        return Baseline(percent=stage.baseline, server=server.model_copy(update={"ports": ports}))

    def _end_baseline(self) -> None:
        if self.plan.champion is not None and any(stage.baseline for stage in self.plan.stages):
            self._check_lease()
            self.hands.target.stop_server(self.plan.model, self.plan.champion, baseline=True)

    def _desired(self) -> DesiredTraffic | None:
        with transaction(self.rt.engine) as connection:
            return read_desired(connection, self.plan.model)

    def _stranger(self, desired: DesiredTraffic | None) -> int | None:
        """The version that somebody gave the traffic to, when it is neither ours nor the champion of our plan."""
        champion = desired.champion if desired else None
        return None if champion in (None, self.plan.champion, self.plan.version) else champion

    def _check(self, connection: Connection) -> None:
        """In the transaction of an act: the lease still holds, and nobody rolled the model back since the plan was made.

        Raises LeaseLostError, or GateFailedError: the traffic then belongs to the version that it was given to.
        """
        self.lease.check(connection)
        if (stranger := self._stranger(read_desired(connection, self.plan.model))) is not None:
            planned = f"this rollout was planned against version {self.plan.champion}"
            raise GateFailedError(f"{self.plan.model}: version {stranger} is the champion of the traffic now; {planned}")

    def _check_lease(self) -> None:
        with transaction(self.rt.engine) as connection:
            self.lease.check(connection)


def _first(server: Server, count: int) -> Server:
    return server.model_copy(update={"ports": server.ports[:count]})


def _named(desired: DesiredTraffic | None, version: int) -> int:
    known = desired.servers.get(version) if desired else None
    return len(known.ports) if known else 0
