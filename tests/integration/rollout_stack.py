"""A real Envoy and a real supervisord for rollout tests, and clients that count what they get."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.rollout.envoy_admin import EnvoyAdmin
from include.lifecycle.rollout.gateway import envoy_command, initialise
from include.lifecycle.rollout.targets.embedded import EmbeddedTarget
from include.lifecycle.rollout.targets.supervisor import Supervisor
from tests.conftest import free_port

SUPERVISORD = """
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


@dataclass
class Stack:
    """Folder and addresses of one Envoy and one supervisord."""

    root: Path
    port: int
    admin_port: int
    envoy: subprocess.Popen | None = None
    supervisord: subprocess.Popen | None = None
    threads: list = field(default_factory=list)

    @property
    def environment(self):
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

    def start_envoy(self):
        bootstrap = initialise(
            self.root / "gateway", port=self.port, admin_port=self.admin_port, access_log=self.root / "access.jsonl"
        )
        with (self.root / "envoy.log").open("ab") as log:
            self.envoy = subprocess.Popen(envoy_command(bootstrap), stdout=log, stderr=log, start_new_session=True)
        wait_for(lambda: EnvoyAdmin(f"http://127.0.0.1:{self.admin_port}").routes_version() is not None, "Envoy")

    def start_supervisord(self):
        (self.root / "conf.d").mkdir(exist_ok=True)
        config = self.root / "supervisord.conf"
        config.write_text(SUPERVISORD.format(root=self.root))
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)]
        with (self.root / "supervisord.out").open("ab") as log:
            self.supervisord = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        supervisor = Supervisor(self.root / "s.sock", self.root / "conf.d")
        wait_for(lambda: supervisor.state("nobody") is None, "supervisord")

    def stop(self):
        for process in (self.envoy, self.supervisord):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=40)
        shutil.rmtree(self.root, ignore_errors=True)


@contextmanager
def running_stack():
    """Both processes, ended at the end. The folder is short: socket paths are limited."""
    stack = Stack(Path(tempfile.mkdtemp(prefix="mo-")), free_port(), free_port())
    try:
        stack.start_supervisord()
        stack.start_envoy()
        yield stack
    finally:
        stack.stop()


def wait_for(ready, what, seconds=20):
    """Wait until `ready()` is true; what does not answer yet is asked again."""
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


def tiny_target(rt):
    """The embedded target with servers whose behaviour the test says."""
    return EmbeddedTarget(rt, module="tests.integration.tiny_server")


def tiny_version(rt, model, version, **behaviour):
    """Write a version folder for the tiny server; return (folder, digest)."""
    folder = rt.storage.served(model, version)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "behaviour.json").write_text(json.dumps({"version": version} | behaviour))
    return folder, f"{version:064d}"


@dataclass
class Clients:
    """Threads that post predictions without pause and count the answers by status and by version."""

    port: int
    path: str
    body: bytes = b"{}"
    count: int = 4
    pause: float = 0.02
    codes: Counter = field(default_factory=Counter)
    assigned: Counter = field(default_factory=Counter)
    problems: list = field(default_factory=list)

    def __enter__(self):
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(self.count)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=20)

    @property
    def failed(self):
        """Requests that did not get 200."""
        return sum(self.codes.values()) - self.codes[200]

    def _run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        while not self._stop.wait(self.pause):
            try:
                connection.request("POST", self.path, self.body, {"content-type": "application/json"})
                response = connection.getresponse()
                text = response.read()
                self.codes[response.status] += 1
                self.assigned[response.headers.get("x-modelops-assigned")] += 1
                if response.status != 200:
                    self.problems.append((response.status, text[:200]))
            except OSError as problem:
                self.codes[0] += 1
                self.problems.append((0, repr(problem)))
                connection.close()
