"""The launcher ends what an earlier instance left, whole trees of it, and never a stranger."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from include.stack import launch

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
# A leader whose child leads a group of its own, as Airflow's tasks do.
TREE = """
import subprocess, sys, time
print(subprocess.Popen(sys.argv[1:], process_group=0).pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"MODELOPS_PROGRAM": "scheduler", "MODELOPS_LOCAL": str(tmp_path)}


def gone(pid: int) -> bool:
    return launch._started(pid) == ""


def start_tree(environment: dict[str, str], record: Path) -> tuple[subprocess.Popen[bytes], int]:
    leader = subprocess.Popen(
        [sys.executable, "-c", TREE, *SLEEP], env=environment, stdout=subprocess.PIPE, start_new_session=True
    )
    assert leader.stdout is not None
    child = int(leader.stdout.readline())
    record.write_text(f"{leader.pid} {launch._started(leader.pid)}")
    return leader, child


def test_a_leaders_group_and_its_descendants_are_ended(tmp_path: Path):
    record = tmp_path / "scheduler.pgid"
    leader, child = start_tree({}, record)
    launch.end_leftovers(record, {"MODELOPS_PROGRAM": "x", "MODELOPS_LOCAL": "/nowhere"})
    assert leader.wait(timeout=5) == -9
    assert gone(child)


def test_orphans_are_found_by_their_mark(tmp_path: Path, environment: dict[str, str]):
    record = tmp_path / "scheduler.pgid"
    leader, child = start_tree(environment, record)
    record.unlink()
    leader.kill()
    leader.wait()
    assert not gone(child)
    launch.end_leftovers(record, environment)
    assert gone(child)


def test_a_stranger_with_the_old_number_is_spared(tmp_path: Path, environment: dict[str, str]):
    stranger = subprocess.Popen(SLEEP, env={}, start_new_session=True)
    record = tmp_path / "scheduler.pgid"
    record.write_text(f"{stranger.pid} 1")
    launch.end_leftovers(record, environment)
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_another_programs_processes_are_spared(tmp_path: Path, environment: dict[str, str]):
    other = subprocess.Popen(SLEEP, env=environment | {"MODELOPS_PROGRAM": "triggerer"}, start_new_session=True)
    time.sleep(0.2)
    assert other.pid not in launch.leftovers(tmp_path / "none", environment)
    other.kill()
    other.wait()


def test_it_becomes_the_program_with_exactly_its_environment(tmp_path: Path, environment: dict[str, str]):
    code = "import json, os; json.dump([os.getpid(), os.getcwd(), dict(os.environ)], open('out', 'w'))"
    spec = {
        "name": "x",
        "argv": [sys.executable, "-c", code],
        "env": environment | {"A": "1"},
        "cwd": str(tmp_path),
        "user": None,
    }
    path = tmp_path / "scheduler.json"
    path.write_text(json.dumps(spec))
    process = subprocess.Popen([sys.executable, "-I", "-S", launch.__file__, str(path)], env=os.environ | {"SECRET": "x"})
    assert process.wait(timeout=20) == 0
    pid, folder, seen = json.loads((tmp_path / "out").read_text())
    assert (pid, folder) == (process.pid, str(tmp_path))
    assert seen["A"] == "1"
    assert "SECRET" not in seen
