"""Starts a real model server as its own process on a free loopback port, for tests that go over HTTP."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from include.settings import PROJECT_ROOT
from tests.conftest import free_port
from tests.unit.serving.folders import request_body


@dataclass
class RunningServer:
    """A server process, a client on it and where it logs."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    log_dir: Path
    stderr: Path

    def infer(self, columns: dict[str, list[Any]], **headers: str) -> httpx.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post("/v2/models/flights/infer", json=request_body(columns), headers=names)

    def metric(self, line: str) -> float:
        """The value of the sample whose name and labels start with `line`; 0 when it is absent."""
        samples = self.client.get("/metrics").text.splitlines()
        return next((float(sample.rpartition(" ")[2]) for sample in samples if sample.startswith(line)), 0.0)


def command(folder: Path, digest: str, port: int, log_dir: Path, *extra: str) -> list[str]:
    options = ["--directory", str(folder), "--digest", digest, "--port", str(port), "--log-dir", str(log_dir)]
    return [sys.executable, "-m", "include.serving.server", *options, *extra]


@contextlib.contextmanager
def running_server(folder: Path, digest: str, log_dir: Path, *extra: str) -> Iterator[RunningServer]:
    """The server, ready; killed at the end if the test has not stopped it."""
    port, stderr = free_port(), log_dir.parent / f"{log_dir.name}.stderr"
    log_dir.parent.mkdir(parents=True, exist_ok=True)
    with stderr.open("wb") as errors:
        process = subprocess.Popen(command(folder, digest, port, log_dir, *extra), cwd=PROJECT_ROOT, stderr=errors)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)
    try:
        _wait(client, process, stderr)
        yield RunningServer(process, client, log_dir, stderr)
    finally:
        client.close()
        process.kill()
        process.wait(timeout=10)


def _wait(client: httpx.Client, process: subprocess.Popen[bytes], stderr: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if client.get("/v2/health/ready").status_code == 200:
                return
        time.sleep(0.02)
    pytest.fail(f"the model server did not come up:\n{stderr.read_text()}")


def eventually(condition: Any, seconds: float = 10) -> bool:
    """Whether the condition becomes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False
