"""A real MLflow server for the session (one worker, SQLite behind it), and a real gateway with its supervisord for a file."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.integration.rollout_stack import Stack, running_stack


@pytest.fixture(scope="session")
def mlflow_server() -> Iterator[str]:
    """URL of the server. Use it as `make_runtime(MODELOPS_MLFLOW_URL=mlflow_server)`; give each test its own model name."""
    root = Path(tempfile.mkdtemp(prefix="modelops-mlflow-"))
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{root}/mlflow.db",
        "--serve-artifacts",
        "--artifacts-destination",
        str(root / "files"),
    ]
    with (root / "mlflow.log").open("wb") as log:
        # Without this it starts a dozen job consumers, each importing MLflow.
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=root, env=environment, start_new_session=True)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url, process, root / "mlflow.log")
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A real Envoy and a real supervisord for one file's tests."""
    with running_stack() as running:
        yield running


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):
                return
        except (OSError, urllib.error.URLError):
            if time.monotonic() > deadline or process.poll() is not None:
                pytest.fail(f"MLflow did not come up:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.2)
