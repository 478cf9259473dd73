"""supervisord: its configuration, starting and ending it, and its XML-RPC interface on a private unix socket."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

from include.lifecycle.errors import SourceUnavailableError
from include.stack import launch
from include.stack.layout import Layout
from include.stack.programs import SUPERVISED, Program, base_environment

LIVE = frozenset({"STARTING", "RUNNING", "BACKOFF", "STOPPING"})


def render_config(layout: Layout, programs: list[Program]) -> str:
    """supervisord.conf: our programs are started by `up` in its own order, so none starts by itself; model servers do."""
    sections = [
        f"[unix_http_server]\nfile={_escaped(layout.socket)}\nchmod=0700",
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        f"[supervisorctl]\nserverurl=unix://{_escaped(layout.socket)}",
        f"[supervisord]\nlogfile={_escaped(layout.logs / 'supervisord.log')}\nlogfile_maxbytes=5MB\nlogfile_backups=1\n"
        f"pidfile={_escaped(layout.supervisor / 'supervisord.pid')}\nchildlogdir={_escaped(layout.logs)}\n"
        f"directory={_escaped(layout.local)}" + ("\nuser=root" if os.geteuid() == 0 else ""),
        *(_section(layout, program) for program in programs),
        "[include]\nfiles=conf.d/*.conf",
    ]
    return "\n\n".join(sections) + "\n"


def start_supervisord(layout: Layout) -> subprocess.Popen[bytes]:
    """Start supervisord in a session of its own (Ctrl-C reaches only the caller) and wait until it answers."""
    config = layout.supervisor / "supervisord.conf"
    command = [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(config)]
    with (layout.logs / "supervisord.out").open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=layout.local,
            env=base_environment(layout) | {SUPERVISED: str(layout.local)},
        )
    client = Supervisor(layout.socket)
    deadline = time.monotonic() + 20
    while not client.answers():
        if process.poll() is not None or time.monotonic() > deadline:
            said = (layout.logs / "supervisord.out").read_text(encoding="utf-8", errors="replace").strip()[-800:]
            raise SourceUnavailableError(f"supervisord did not start: {said}")
        time.sleep(0.05)
    return process


@dataclass(frozen=True)
class Supervisor:
    """Calls to a running supervisord; OSError and Fault become SourceUnavailableError."""

    socket: Path

    def answers(self) -> bool:
        """Whether supervisord runs and is not on its way out."""
        try:
            return bool(self._call("getState")["statename"] == "RUNNING")
        except SourceUnavailableError:
            return False

    def pid(self) -> int:
        """supervisord's own process id."""
        return int(self._call("getPID"))

    def processes(self) -> dict[str, dict[str, Any]]:
        """{program: {statename, pid, start, exitstatus, spawnerr, ...}} of every program it knows."""
        return {row["name"]: row for row in self._call("getAllProcessInfo")}

    def start(self, name: str) -> None:
        """Ask for a start without waiting; a program that runs already is left alone."""
        self._call("startProcess", name, False, tolerated="ALREADY_STARTED")

    def stop(self, name: str, *, wait: bool = True) -> None:
        """Stop a program (TERM, then KILL for its whole group); one that does not run is left alone."""
        self._call("stopProcess", name, wait, tolerated="NOT_RUNNING")

    def shutdown(self) -> None:
        """Stop all programs and end supervisord; returns at once."""
        self._call("shutdown")

    def reload(self) -> None:
        """Read the configuration again: add new groups, remove gone ones, replace changed ones (stopped first)."""
        added, changed, removed = self._call("reloadConfig")[0]
        for name in [*removed, *changed]:
            self._call("stopProcessGroup", name, tolerated="NOT_RUNNING")
            self._call("removeProcessGroup", name)
        for name in [*changed, *added]:
            self._call("addProcessGroup", name)

    def _call(self, method: str, *arguments: Any, tolerated: str = "") -> Any:
        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(serverurl=f"unix://{self.socket}")
        try:
            return getattr(ServerProxy("http://127.0.0.1", transport=transport).supervisor, method)(*arguments)
        except Fault as fault:
            if tolerated and fault.faultString.startswith(tolerated):
                return None
            raise SourceUnavailableError(f"supervisord refused {method}{arguments}: {fault.faultString}") from fault
        except OSError as problem:
            raise SourceUnavailableError(f"no supervisord answers on {self.socket}: {problem}") from problem
        finally:
            transport.close()


def _section(layout: Layout, program: Program) -> str:
    spec = layout.programs / f"{program.name}.json"
    command = shlex.join([sys.executable, "-I", "-S", str(Path(launch.__file__)), str(spec)])
    whole_group = program.stop_signal == "TERM"  # PostgreSQL's backends must hear of the end from their postmaster
    options = {
        "command": _escaped(command),
        "autostart": "false",
        "autorestart": "true",
        "startsecs": "1",
        "startretries": "10",
        "stopsignal": program.stop_signal,
        "stopwaitsecs": str(program.stop_seconds),
        "stopasgroup": str(whole_group).lower(),
        "killasgroup": "true",
        "priority": str(program.priority),
        "redirect_stderr": "true",
        "stdout_logfile": _escaped(layout.logs / f"{program.name}.log"),
        "stdout_logfile_maxbytes": "20MB",
        "stdout_logfile_backups": "2",
    }
    return f"[program:{program.name}]\n" + "\n".join(f"{key}={value}" for key, value in options.items())


def _escaped(value: object) -> str:
    """supervisord expands %(...)s in its configuration."""
    return str(value).replace("%", "%%")
