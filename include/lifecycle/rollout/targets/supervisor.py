"""Programs of supervisord, added and removed while it runs: a file in its included folder, then XML-RPC over its unix socket."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ProtocolError, ServerProxy

from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.storage import write_whole

_BAD_NAME, _NOT_RUNNING, _ALREADY_STARTED, _ALREADY_ADDED = 10, 70, 60, 90
_PAUSE = 0.02  # seconds between two questions
RUNNING = "RUNNING"
ALIVE = (RUNNING, "STARTING", "BACKOFF")


@dataclass(frozen=True)
class Supervisor:
    """One supervisord: its socket and the folder whose `*.conf` it includes."""

    socket: Path
    conf_dir: Path

    def add(self, name: str, text: str) -> None:
        """Have the program `name` run with this configuration text; a running one with another text is replaced."""
        path = self.conf_file(name)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            self.remove(name)
            write_whole(path, text)
        with self._calls() as calls:
            calls.reloadConfig()
            _ignoring(_ALREADY_ADDED, calls.addProcessGroup, name)
            if self.state(name) not in ALIVE:
                _ignoring(_ALREADY_STARTED, calls.startProcess, name, False)

    def stop(self, names: Sequence[str]) -> None:
        """Ask all the programs to stop, and wait until they did; unknown and stopped ones are left alone."""
        with self._calls() as calls:
            for name in names:
                if self.state(name) in ALIVE:
                    _ignoring(_NOT_RUNNING, calls.stopProcessGroup, name, False)
        while any(self.state(name) in (*ALIVE, "STOPPING") for name in names):
            time.sleep(_PAUSE)

    def remove(self, name: str) -> None:
        """Stop the program and forget it; nothing happens when it is unknown."""
        with self._calls() as calls:
            if self.state(name) is not None:
                _ignoring(_NOT_RUNNING, calls.stopProcessGroup, name, True)
                _ignoring(_BAD_NAME, calls.removeProcessGroup, name)
            self.conf_file(name).unlink(missing_ok=True)
            calls.reloadConfig()

    def state(self, name: str) -> str | None:
        """supervisord's word for the process's state, None when the program is unknown."""
        with self._calls() as calls:
            try:
                return str(calls.getProcessInfo(name)["statename"])
            except Fault as fault:
                if fault.faultCode == _BAD_NAME:
                    return None
                raise

    def states(self) -> dict[str, str]:
        """supervisord's word for the state of every program that it knows, in one question."""
        with self._calls() as calls:
            return {str(one["name"]): str(one["statename"]) for one in calls.getAllProcessInfo()}

    def pid(self, name: str) -> int:
        """Process id of a running program; 0 when it does not run, SourceUnavailableError when it is unknown."""
        with self._calls() as calls:
            return int(calls.getProcessInfo(name)["pid"])

    def pids(self) -> dict[str, int]:
        """Process id by program, of those that run."""
        with self._calls() as calls:
            return {str(one["name"]): int(one["pid"]) for one in calls.getAllProcessInfo() if one["pid"]}

    def conf_file(self, name: str) -> Path:
        """File that declares the program."""
        return self.conf_dir / f"{name}.conf"

    @contextmanager
    def _calls(self) -> Iterator[Any]:
        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(None, None, f"unix://{self.socket}")
        try:
            yield ServerProxy("http://127.0.0.1", transport=transport).supervisor
        except (OSError, http.client.HTTPException, Fault, ProtocolError) as problem:
            raise SourceUnavailableError(f"supervisord at {self.socket} did not answer: {problem}") from problem
        finally:
            transport.close()


def _ignoring(code: int, call: Any, *arguments: Any) -> None:
    """Make the call; the fault that says "so it is already" is fine."""
    try:
        call(*arguments)
    except Fault as fault:
        if fault.faultCode != code:
            raise
