"""The processes behind a target's servers: declared, started, waited for, drained and stopped; embedded.py decides which.

One lock over all processes of this machine guards ports and declarations; nobody waits for a start or a drain while holding it.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from include.lifecycle.errors import GateFailedError
from include.lifecycle.rollout.targets.port_probe import is_free
from include.lifecycle.rollout.targets.programs import Declared, ServerProgram, declared_programs, program_text
from include.lifecycle.rollout.targets.server_options import server_options, start_seconds, stop_seconds
from include.lifecycle.rollout.targets.supervisor import ALIVE, RUNNING, Supervisor
from include.serving.version_folder import SERVING, read_spec
from include.settings import Settings


@dataclass(frozen=True)
class ServerProcesses:
    """The model servers of one supervisord. `module` is what a server process runs."""

    supervisor: Supervisor
    settings: Settings
    module: str

    def of(self, model: str, *, baseline: bool) -> list[ServerProgram]:
        """The model's declared servers, by version and number, running or not."""
        declared = declared_programs(self.supervisor.conf_dir)
        return [one for one in declared if one.model == model and one.baseline == baseline]

    def running(self, model: str, *, baseline: bool) -> list[tuple[ServerProgram, int]]:
        """Those of them that run, with their ports."""
        declared = self.of(model, baseline=baseline)
        states = self.supervisor.states() if declared else {}
        found = ((one, self.port(one)) for one in declared if states.get(one.name) == RUNNING)
        return [(one, port) for one, port in found if port is not None]

    def port(self, program: ServerProgram) -> int | None:
        """The port that the program was given; None when it is not declared."""
        declared = Declared.read(self.supervisor.conf_file(program.name))
        return None if declared is None else declared.port

    def declared_since(self, program: ServerProgram) -> float:
        """Seconds since the program was declared, by wall time."""
        return time.time() - self.supervisor.conf_file(program.name).stat().st_mtime

    def start(self, programs: Sequence[ServerProgram], folder: Path, digest: str, log_dir: Path) -> tuple[int, ...]:
        """Have all of them run and ready with this folder; return their ports. One that runs with it already is left alone.

        Raises GateFailedError when one does not become ready.
        """
        if (ready := self._ready(programs, folder, digest)) is not None:
            return ready  # the way back asks for a champion that serves: traffic is not to wait for supervisord
        self.supervisor.conf_dir.mkdir(parents=True, exist_ok=True)
        log_dir.mkdir(parents=True, exist_ok=True)
        self.settings.server_log_dir.mkdir(parents=True, exist_ok=True)
        with self._locked():
            ports = tuple(self._declare(one, folder, digest, log_dir) for one in programs)
        for program, port in zip(programs, ports, strict=True):
            self._wait_ready(program, port)
        return ports

    def stop(self, programs: Sequence[ServerProgram]) -> None:
        """Stop and forget them, all at once; one that somebody started again meanwhile stays."""
        self.supervisor.stop([one.name for one in programs])
        with self._locked():
            for one in programs:
                if self.supervisor.state(one.name) not in ALIVE:
                    self.supervisor.remove(one.name)

    def _ready(self, programs: Sequence[ServerProgram], folder: Path, digest: str) -> tuple[int, ...] | None:
        """Their ports, when all of them were declared for this folder and answer; None when one was not or does not."""
        declared = [Declared.read(self.supervisor.conf_file(one.name)) for one in programs]
        same = [one.port for one in declared if one is not None and (one.digest, one.folder) == (digest, str(folder))]
        return tuple(same) if len(same) == len(programs) and all(map(_is_ready, same)) else None

    def _declare(self, program: ServerProgram, folder: Path, digest: str, log_dir: Path) -> int:
        path, name = self.supervisor.conf_file(program.name), program.name
        before = Declared.read(path)
        alive = self.supervisor.state(name) in ALIVE
        if before is not None and alive and (before.digest, before.folder) == (digest, str(folder)):
            self.supervisor.add(name, path.read_text(encoding="utf-8"))
            return before.port
        # its own port again, unless a stranger took it while the program was down
        port = before.port if before is not None and (alive or is_free(before.port)) else self._free_port()
        command = [*self._command(Declared(port, digest, str(folder)), log_dir), *server_options(self.settings, program.model)]
        self.supervisor.add(
            name, program_text(name, self.settings, command, stop_seconds=stop_seconds(self.settings, program.model))
        )
        return port

    def _command(self, declared: Declared, log_dir: Path) -> list[str]:
        folder = Path(declared.folder)
        options: dict[str, object] = {"--directory": folder, "--digest": declared.digest, "--port": declared.port}
        options["--log-dir"] = log_dir
        if (folder / SERVING).is_file() and read_spec(folder).hashed:
            options["--pii-key-file"] = self.settings.pii_key_file
        return ["-m", self.module, *(str(word) for pair in options.items() for word in pair)]

    def _free_port(self) -> int:
        first, last = self.settings.server_ports
        taken = {self.port(one) for one in declared_programs(self.supervisor.conf_dir)}
        for port in range(first, last + 1):
            if port not in taken and is_free(port):
                return port
        raise GateFailedError(f"no free port for a model server in {first}-{last} (MODELOPS_SERVER_PORTS)")

    def _wait_ready(self, program: ServerProgram, port: int) -> None:
        name, deadline = program.name, time.monotonic() + start_seconds(self.settings, program.model)
        while (state := self.supervisor.state(name)) != RUNNING or not _is_ready(port):
            if state in ("FATAL", "EXITED", None) or time.monotonic() > deadline:
                log = self.settings.server_log_dir / f"{name}.log"
                raise GateFailedError(f"{name} is not ready on port {port}: state {state}; last words in {log}: {_tail(log)}")
            time.sleep(0.05)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.supervisor.conf_dir / ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def _is_ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=2) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False


def _tail(log: Path) -> str:
    if not log.exists():
        return "(nothing)"
    return " | ".join(map(_said, log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]))


def _said(line: str) -> str:
    """The message of a line of the server's JSON log; any other line as it is."""
    try:
        return str(json.loads(line)["message"])
    except (ValueError, KeyError, TypeError):
        return line
