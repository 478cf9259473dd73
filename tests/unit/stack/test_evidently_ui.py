"""Evidently's UI as an optional program: off unless asked for; it shows what monitoring kept, and writes need a secret."""

from __future__ import annotations

import os
import subprocess
import time
from datetime import timedelta
from types import SimpleNamespace

import httpx
import pytest

from include.lifecycle.errors import SettingsError
from include.lifecycle.monitoring.report import evidently_snapshot
from include.lifecycle.monitoring.workspace import FOLDER, keep_snapshot, snapshot_id
from include.settings import PROJECT_ROOT, load_settings
from include.stack import evidently_ui
from include.stack.local import LocalStack
from include.stack.ports import Ports
from include.stack.programs import build_programs
from tests.conftest import free_port
from tests.unit.lifecycle.monitoring.examples import MODEL, START, as_predictions, make_profile, make_spec, make_table


def names(layout, credentials):
    return {program.name for program in build_programs(layout, Ports(), credentials, LocalStack(layout).environment())}


def test_it_is_off_unless_asked_for(layout, credentials, monkeypatch):
    assert evidently_ui.NAME not in names(layout, credentials)
    monkeypatch.setenv("MODELOPS_EVIDENTLY", "1")
    assert evidently_ui.NAME in names(layout, credentials)
    with pytest.raises(SettingsError, match="MODELOPS_EVIDENTLY='yes'"):
        load_settings({"MODELOPS_EVIDENTLY": "yes"})


def test_snapshot_ids_sort_by_time_and_are_uuids_of_version_7():
    spans = [SimpleNamespace(start=START + timedelta(hours=hour), end=START + timedelta(hours=hour + 1)) for hour in range(50)]
    found = [snapshot_id(MODEL, 1, span) for span in spans]
    assert found == sorted(found, key=str)
    assert {one.version for one in found} == {7}
    assert len({*found, snapshot_id(MODEL, 2, spans[0]), snapshot_id("other", 1, spans[0])}) == 52


def test_it_shows_the_workspace_and_takes_no_writes_without_the_secret(tmp_path):
    frame, honest = make_table(1, seed=5, per_day=300)
    window = as_predictions(frame, honest, days=1)
    spec = make_spec(monitoring={"report_rows": 200})
    number = keep_snapshot(tmp_path, MODEL, 1, window.window, evidently_snapshot(spec, make_profile(), window), keep=5)
    secret, port = tmp_path / "secret", free_port()
    secret.write_text("s3cret\n")
    layout = SimpleNamespace(storage=tmp_path, secrets=tmp_path)
    argv = evidently_ui.command(layout, Ports(evidently=port))
    argv[argv.index("--secret-file") + 1] = str(secret)
    assert "s3cret" not in " ".join(argv)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, env=os.environ | {"PYTHONPATH": str(PROJECT_ROOT)})
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5) as client:
            wait_for(client, process)
            (project,) = client.get("/api/projects").json()
            assert project["name"] == MODEL
            told = client.get(f"/api/projects/{project['id']}/reports").text
            assert str(number) in told
            assert client.post("/api/projects", json={"name": "x"}).status_code == 403
            created = client.post("/api/projects", json={"name": "x"}, headers={"evidently-secret": "s3cret"})
            assert created.status_code == 201
    finally:
        process.terminate()
        process.wait(timeout=20)
    assert (tmp_path / FOLDER).is_dir()


def wait_for(client, process):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/api/version").status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise AssertionError(f"Evidently's UI did not come up; exit code {process.poll()}")
