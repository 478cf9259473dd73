"""A real Envoy and a real supervisord of one's own, on free ports in a short folder: for rollout tests and benchmarks.

The gateway runs as the stack runs it: as a program of supervisord, started by include/stack/launch.py.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.servers import free_port
from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.rollout.gateway.envoy_admin import EnvoyAdmin
from include.lifecycle.rollout.gateway.gateway import envoy_command, initialise
from include.lifecycle.rollout.targets.supervisor import Supervisor
from include.stack import launch

GATEWAY = "gateway"
_CONFIG = """
[unix_http_server]
file={root}/s.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisord]
logfile={root}/supervisord.log
pidfile={root}/supervisord.pid
nodaemon=true
[include]
files={root}/conf.d/*.conf
"""
_PROGRAM = """
[program:{name}]
command={command}
autostart=true
autorestart=true
startsecs=1
startretries=10
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile={root}/envoy.log
"""


@dataclass
class GatewayStack:
    """Folder and addresses of one Envoy and one supervisord."""

    root: Path
    port: int
    admin_port: int
    supervisord: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Settings that point a Runtime here."""
        first = free_port()
        return {
            "MODELOPS_LOCAL": str(self.root),
            "MODELOPS_GATEWAY_DIR": str(self.root / "gateway"),
            "MODELOPS_GATEWAY_URL": f"http://127.0.0.1:{self.port}",
            "MODELOPS_GATEWAY_ADMIN_URL": f"http://127.0.0.1:{self.admin_port}",
            "MODELOPS_GATEWAY_LOG": str(self.root / "access.jsonl"),
            "MODELOPS_SUPERVISOR_SOCKET": str(self.root / "s.sock"),
            "MODELOPS_SERVER_CONF_DIR": str(self.root / "conf.d"),
            "MODELOPS_SERVER_PORTS": f"{first}-{first + 40}",
        }

    @property
    def admin(self) -> EnvoyAdmin:
        """Envoy's admin interface."""
        return EnvoyAdmin(f"http://127.0.0.1:{self.admin_port}")

    @property
    def supervisor(self) -> Supervisor:
        """supervisord's interface."""
        return Supervisor(self.root / "s.sock", self.root / "conf.d")

    def start(self) -> None:
        """Start both; AssertionError when one does not come."""
        (self.root / "conf.d").mkdir(exist_ok=True)
        config = self.root / "supervisord.conf"
        config.write_text(_CONFIG.format(root=self.root), encoding="utf-8")
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)]
        with (self.root / "supervisord.out").open("ab") as log:
            self.supervisord = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        wait_for(lambda: self.supervisor.state("nobody") is None, "supervisord")
        self.start_gateway()

    def start_gateway(self) -> None:
        """Start Envoy, or start it again after `stop_gateway`."""
        bootstrap = initialise(
            self.root / "gateway", port=self.port, admin_port=self.admin_port, access_log=self.root / "access.jsonl"
        )
        mark = {"MODELOPS_PROGRAM": GATEWAY, "MODELOPS_LOCAL": str(self.root)}
        spec = {"name": GATEWAY, "argv": envoy_command(bootstrap), "env": {**os.environ, **mark}, "cwd": str(self.root)}
        path = self.root / "gateway.json"
        path.write_text(json.dumps(spec), encoding="utf-8")
        command = shlex.join([sys.executable, "-I", "-S", str(Path(launch.__file__)), str(path)])
        self.supervisor.add(GATEWAY, _PROGRAM.format(name=GATEWAY, command=command, root=self.root))
        wait_for(lambda: self.admin.routes_version() is not None, "Envoy")

    def stop_gateway(self) -> None:
        """End Envoy for good: nobody starts it again."""
        self.supervisor.remove(GATEWAY)

    def stop(self) -> None:
        """End everything and remove the folder."""
        if self.supervisord is not None and self.supervisord.poll() is None:
            self.supervisord.send_signal(signal.SIGTERM)
            self.supervisord.wait(timeout=60)
        shutil.rmtree(self.root, ignore_errors=True)


@contextmanager
def running_stack() -> Iterator[GatewayStack]:
    """Both processes, ended at the end. The folder is short: socket paths are limited."""
    stack = GatewayStack(Path(tempfile.mkdtemp(prefix="mo-")), free_port(), free_port())
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


def wait_for(ready: Callable[[], object], what: str, seconds: float = 20) -> None:
    """Wait until `ready()` is true; what does not answer yet is asked again. AssertionError when the time is up."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if ready():
                return
        except SourceUnavailableError:
            pass
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} was not there after {seconds} s")
        time.sleep(0.02)
