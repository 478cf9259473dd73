"""The embedded target: model servers as supervisord programs on loopback ports, traffic by the local Envoy."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.errors import GatewayRejectedError, LifecycleError
from include.lifecycle.rollout.gateway.arms import Split
from include.lifecycle.rollout.gateway.envoy_admin import EnvoyAdmin
from include.lifecycle.rollout.gateway.envoy_config import Timeouts
from include.lifecycle.rollout.gateway.gateway import Gateway
from include.lifecycle.rollout.gateway.traffic import DesiredTraffic, mark_applied, read_all, read_desired, write_desired
from include.lifecycle.rollout.targets.base import Guard
from include.lifecycle.rollout.targets.processes import ServerProcesses
from include.lifecycle.rollout.targets.programs import ServerProgram
from include.lifecycle.rollout.targets.supervisor import Supervisor
from include.lifecycle.rollout.watchdog.journal import refuse_returned
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import desired_traffic

SETTLE_SECONDS = 1.0  # between the end of a server's traffic and its SIGTERM: requests that it has are answered


@dataclass(frozen=True)
class EmbeddedTarget:
    """Servers and traffic of this machine. `module` is what a server process runs."""

    rt: Runtime
    module: str = "include.serving.server"

    @property
    def supervisor(self) -> Supervisor:
        """The supervisord of the stack."""
        return Supervisor(self.rt.settings.supervisor_socket, self.rt.settings.server_conf_dir)

    @property
    def processes(self) -> ServerProcesses:
        """The model servers that supervisord runs."""
        return ServerProcesses(self.supervisor, self.rt.settings, self.module)

    @property
    def gateway(self) -> Gateway:
        """The stack's Envoy."""
        settings = self.rt.settings
        timeouts = Timeouts(settings.gateway_timeout, settings.gateway_attempt_timeout)
        return Gateway(settings.gateway_dir, EnvoyAdmin(settings.gateway_admin_url), timeouts)

    def ensure_server(
        self, model: str, version: int, folder: Path, digest: str, log_dir: Path, *, replicas: int = 1, baseline: bool = False
    ) -> tuple[int, ...]:
        """See Target; a port is free when chosen and kept for as long as its program exists."""
        wanted = [ServerProgram(model, version, number, baseline) for number in range(1, replicas + 1)]
        ports = self.processes.start(wanted, folder, digest, log_dir)
        extra = [one for one in self.processes.of(model, baseline=baseline) if one.version == version and one not in wanted]
        if extra:
            self._stop_extra(extra)
        return ports

    def stop_server(self, model: str, version: int, *, baseline: bool = False) -> None:
        """See Target."""
        programs = [one for one in self.processes.of(model, baseline=baseline) if one.version == version]
        if not programs:
            return
        split = self.gateway.admin.split(model) or Split({})
        share = _baseline_share(split, version) if baseline else split.weights.get(version, 0)
        if share:
            raise LifecycleError(f"{programs[0].name} still has {share} % of the traffic; move it away first")
        if not baseline and split.mirror is not None and split.mirror[0] == version and split.mirror[1]:
            raise LifecycleError(f"{programs[0].name} still gets copies of {split.mirror[1]} % of the traffic; end them first")
        self._stop(programs)

    def servers(self, model: str, *, baseline: bool = False) -> dict[int, tuple[int, ...]]:
        """See Target."""
        found: dict[int, tuple[int, ...]] = {}
        for program, port in self.processes.running(model, baseline=baseline):
            found[program.version] = (*found.get(program.version, ()), port)
        return found

    def idle_servers(self, model: str, seconds: float, *, baseline: bool = False) -> set[int]:
        """See Target."""
        mine = self.processes.of(model, baseline=baseline)
        return {one.version for one in mine if self.processes.declared_since(one) > seconds}

    def apply(self, desired: DesiredTraffic, guard: Guard | None = None) -> int:
        """See Target. The row is written first, then all models are rendered, so a late writer renders what is current.

        GateFailedError when the watchdog took the traffic from a version that the row asks it for.
        """
        directory = self.rt.settings.gateway_dir
        refuse_returned(directory, desired)
        with transaction(self.rt.engine) as connection:
            lock_model(connection, desired.model)
            if guard is not None:
                guard(connection)
            before = read_desired(connection, desired.model)
            stored = write_desired(connection, desired)
        if stored.applied and self.follows(stored):
            return stored.revision
        try:
            self.gateway.write(self._rows)
        except GatewayRejectedError:
            self._undo(stored, before)
            raise
        refuse_returned(directory, desired)  # it may have acted while the files were written
        with transaction(self.rt.engine) as connection:
            mark_applied(connection, stored.model, stored.revision)
        return stored.revision

    def follows(self, desired: DesiredTraffic) -> bool:
        """See Target."""
        return self.gateway.admin.split(desired.model) == Split.of(desired)

    def read_back(self, model: str) -> dict[int, int]:
        """See Target."""
        return self.gateway.admin.weights(model)

    def _stop_extra(self, programs: Sequence[ServerProgram]) -> None:
        asked = {port for ports in self.gateway.admin.ports().values() for port in ports}
        ports = {one: self.processes.port(one) for one in programs}
        if busy := [one.name for one, port in ports.items() if port in asked]:
            raise LifecycleError(f"{', '.join(busy)} still belong to the traffic; apply the traffic without them first")
        self._stop(programs)

    def _stop(self, programs: Sequence[ServerProgram]) -> None:
        time.sleep(SETTLE_SECONDS)
        self.processes.stop(programs)

    def _rows(self) -> list[DesiredTraffic]:
        with transaction(self.rt.engine) as connection:
            return read_all(connection)

    def _undo(self, stored: DesiredTraffic, before: DesiredTraffic | None) -> None:
        """Take a refused intent back, unless somebody stored a newer one: it would be refused again with every other model's."""
        with transaction(self.rt.engine) as connection:
            lock_model(connection, stored.model)
            now = read_desired(connection, stored.model)
            if now is None or now.revision != stored.revision:
                return
            if before is None:
                connection.execute(desired_traffic.delete().where(desired_traffic.c.model == stored.model))
            elif not before.same_intent(stored):
                write_desired(connection, before)


def _baseline_share(split: Split, version: int) -> int:
    return split.baseline[1] if split.baseline is not None and split.baseline[0] == version else 0
