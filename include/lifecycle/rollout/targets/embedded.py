"""The embedded target: model servers as supervisord programs on loopback ports, traffic by the local Envoy."""

from __future__ import annotations

import fcntl
import re
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.errors import GateFailedError, GatewayRejectedError, LifecycleError
from include.lifecycle.rollout.envoy_admin import EnvoyAdmin
from include.lifecycle.rollout.envoy_config import Timeouts
from include.lifecycle.rollout.gateway import Gateway
from include.lifecycle.rollout.targets.base import Guard
from include.lifecycle.rollout.targets.port_probe import is_free
from include.lifecycle.rollout.targets.supervisor import ALIVE, RUNNING, Supervisor
from include.lifecycle.rollout.traffic import DesiredTraffic, mark_applied, read_all, read_desired, write_desired
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import desired_traffic
from include.serving.version_folder import SERVING, read_spec

START_SECONDS = 60.0
DRAIN_SECONDS = 1.0
_PORT = re.compile(r"^; port=(\d+)$", re.MULTILINE)
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def program_name(model: str, version: int) -> str:
    """Name of a version's program in supervisord."""
    return f"server-{model}-{version}"


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
    def gateway(self) -> Gateway:
        """The stack's Envoy."""
        settings = self.rt.settings
        timeouts = Timeouts(settings.gateway_timeout, settings.gateway_attempt_timeout)
        return Gateway(settings.gateway_dir, EnvoyAdmin(settings.gateway_admin_url), timeouts)

    def ensure_server(
        self, model: str, version: int, folder: Path, digest: str, log_dir: Path, *, replicas: int = 1, baseline: bool = False
    ) -> tuple[int, ...]:
        """See Target; the port is free when chosen and kept for as long as the program exists."""
        if replicas != 1 or baseline:
            raise GateFailedError(f"{model}: got {replicas} servers, baseline {baseline}; allowed now: 1 server, no baseline")
        name, supervisor = program_name(model, version), self.supervisor
        supervisor.conf_dir.mkdir(parents=True, exist_ok=True)
        log_dir.mkdir(parents=True, exist_ok=True)
        with _locked(supervisor.conf_dir / ".lock"):
            port = self._own_port(name) or self._free_port()
            supervisor.add(name, self._program(name, folder, digest, port, log_dir))
        self._wait_ready(name, port)
        return (port,)

    def stop_server(self, model: str, version: int, *, baseline: bool = False) -> None:
        """See Target."""
        if baseline:
            return
        name = program_name(model, version)
        if self._port_of(name) is None and self.supervisor.state(name) is None:
            return
        share = self.read_back(model).get(version, 0)
        if share:
            raise LifecycleError(f"{name} still has {share} % of the traffic; move it away first")
        time.sleep(DRAIN_SECONDS)
        with _locked(self.supervisor.conf_dir / ".lock"):
            self.supervisor.remove(name)

    def servers(self, model: str) -> dict[int, tuple[int, ...]]:
        """See Target."""
        found: dict[int, tuple[int, ...]] = {}
        for path in self.supervisor.conf_dir.glob(f"server-{model}-*.conf"):
            version, port = path.stem.rpartition("-")[2], self._port_of(path.stem)
            if port is not None and self.supervisor.state(path.stem) == RUNNING:
                found[int(version)] = (port,)
        return found

    def idle_servers(self, model: str, seconds: float) -> set[int]:
        """See Target."""
        files = self.supervisor.conf_dir.glob(f"server-{model}-*.conf")
        return {int(one.stem.rpartition("-")[2]) for one in files if time.time() - one.stat().st_mtime > seconds}

    def apply(self, desired: DesiredTraffic, guard: Guard | None = None) -> int:
        """See Target. The row is written first, then all models are rendered, so a late writer renders what is current."""
        with transaction(self.rt.engine) as connection:
            lock_model(connection, desired.model)
            if guard is not None:
                guard(connection)
            before = read_desired(connection, desired.model)
            stored = write_desired(connection, desired)
        if stored.applied and self.read_back(desired.model) == stored.weights:
            return stored.revision
        try:
            self.gateway.write(self._rows)
        except GatewayRejectedError:
            self._undo(stored, before)
            raise
        with transaction(self.rt.engine) as connection:
            mark_applied(connection, stored.model, stored.revision)
        return stored.revision

    def read_back(self, model: str) -> dict[int, int]:
        """See Target."""
        return self.gateway.admin.weights(model)

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

    def _program(self, name: str, folder: Path, digest: str, port: int, log_dir: Path) -> str:
        settings = self.rt.settings
        options: dict[str, object] = {"--directory": folder, "--digest": digest, "--port": port, "--log-dir": log_dir}
        if (folder / SERVING).is_file() and read_spec(folder).hashed:
            options["--pii-key-file"] = settings.pii_key_file
        command = shlex.join([sys.executable, "-m", self.module, *(str(word) for pair in options.items() for word in pair)])
        environment = ",".join([f'PYTHONPATH="{settings.home}"', *(f'{variable}="1"' for variable in _ONE_THREAD)])
        log = settings.server_log_dir / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        lines = {
            "command": command,
            "directory": str(settings.home),
            "environment": environment,
            "autostart": "true",
            "autorestart": "unexpected",
            "exitcodes": "0,3,4",
            "startsecs": "1",
            "startretries": "5",
            "stopwaitsecs": "25",
            "redirect_stderr": "true",
            "stdout_logfile": str(log),
            "stdout_logfile_maxbytes": "5MB",
            "stdout_logfile_backups": "1",
        }
        body = "\n".join(f"{key}={value.replace('%', '%%')}" for key, value in lines.items())
        return f"; port={port}\n[program:{name}]\n{body}\n"

    def _own_port(self, name: str) -> int | None:
        """The port that the program has; None when a stranger took it while the program was down."""
        port = self._port_of(name)
        usable = port is not None and (self.supervisor.state(name) in ALIVE or is_free(port))
        return port if usable else None

    def _port_of(self, name: str) -> int | None:
        path = self.supervisor.conf_file(name)
        match = _PORT.search(path.read_text(encoding="utf-8")) if path.exists() else None
        return int(match[1]) if match else None

    def _free_port(self) -> int:
        first, last = self.rt.settings.server_ports
        taken = {self._port_of(path.stem) for path in self.supervisor.conf_dir.glob("server-*.conf")}
        for port in range(first, last + 1):
            if port not in taken and is_free(port):
                return port
        raise GateFailedError(f"no free port for a model server in {first}-{last} (MODELOPS_SERVER_PORTS)")

    def _wait_ready(self, name: str, port: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while (state := self.supervisor.state(name)) != RUNNING or not _is_ready(port):
            if state in ("FATAL", "EXITED", None) or time.monotonic() > deadline:
                log = self.rt.settings.server_log_dir / f"{name}.log"
                raise GateFailedError(f"{name} is not ready on port {port}: state {state}; last words in {log}: {_tail(log)}")
            time.sleep(0.05)


def _is_ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=2) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False


def _tail(log: Path) -> str:
    if not log.exists():
        return "(nothing)"
    return " | ".join(log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:])


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
