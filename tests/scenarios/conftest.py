"""Stories on a whole stack of its own: the main job as a process, what it says, and processes that die under it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from include.settings import PROJECT_ROOT
from include.stack.local import LocalStack

LOOP_SECONDS = 900  # of wall time that a main job may take on a busy machine, start of the stack included


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is a scenario."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("scenario")


@dataclass
class MainJob:
    """`make run` on one stack; its output goes to a file that is read while it runs."""

    local: Path
    process: subprocess.Popen[bytes]
    output: Path

    @property
    def said(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, text: str, seconds: float = LOOP_SECONDS) -> None:
        """Wait until the job has said `text`; fail with its last lines when it ends or stays silent."""
        deadline = time.monotonic() + seconds
        while text not in self.said:
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the job never said {text!r} (exit code {self.process.poll()}):\n{self.said[-3000:]}")
            time.sleep(0.3)

    def end(self, seconds: float = LOOP_SECONDS) -> int:
        """Wait for the job's end and return its exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the job did not end within {seconds} s:\n{self.said[-3000:]}")

    def summary(self) -> dict[str, Any]:
        return dict(json.loads((self.local / "run" / "summary.json").read_text()))

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)


@dataclass
class Scenario:
    """A stack in a folder of its own, and main jobs on it."""

    stack: LocalStack
    jobs: list[MainJob]

    def start(self) -> MainJob:
        local = self.stack.layout.local
        output = local.with_name(f"{local.name}-job{len(self.jobs) + 1}.log")
        command = [sys.executable, "-m", "include.stack", "run", "--local", str(local), "--free-ports"]
        with output.open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=PROJECT_ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"COLUMNS": "200"},
                start_new_session=True,
            )
        self.jobs.append(MainJob(local, process, output))
        return self.jobs[-1]

    def kill(self, program: str) -> int:
        """`kill -9` one of the stack's programs; its process id."""
        pid = self.stack.pid(program)
        os.kill(pid, signal.SIGKILL)
        return pid

    def kill_task(self) -> str:
        """`kill -9` one process that runs an Airflow task now, and say which."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            scheduler = psutil.Process(self.stack.pid("scheduler"))
            for process in scheduler.children(recursive=True):
                with_name = " ".join(process.cmdline())
                if "airflow worker" in with_name and process.children():
                    victim = process.children()[0]
                    victim.kill()
                    return f"{victim.pid} under {with_name}"
            time.sleep(0.2)
        pytest.fail("no task process was found within 30 s")

    def replay_processes(self) -> list[psutil.Process]:
        """Replays of this stack that run."""
        folder = str(self.stack.layout.local)
        found = []
        for process in psutil.process_iter(["cmdline", "status"]):
            line = " ".join(process.info["cmdline"] or [])
            if "include.demo.replay" in line and folder in line and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
        return found


@pytest.fixture
def scenario() -> Iterator[Scenario]:
    """A stack that the test's own main job starts; stopped and deleted afterwards."""
    local = Path(tempfile.mkdtemp(prefix="modelops-scenario-"))
    made = Scenario(LocalStack.at(local), [])
    yield made
    for job in made.jobs:
        if job.process.poll() is None:
            job.process.send_signal(signal.SIGTERM)
            job.process.wait(120)
    made.stack.down()
    made.stack.layout.remove()
    for job in made.jobs:
        job.output.unlink(missing_ok=True)
