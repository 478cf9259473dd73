"""Settings: environment over `modelops.env` over defaults; no password in any URL."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from include.lifecycle.errors import SettingsError
from include.settings import PROJECT_ROOT, data_settings, load_settings


def test_defaults_lie_below_the_project(tmp_path):
    found = load_settings({"MODELOPS_HOME": str(tmp_path)})
    assert found.storage == tmp_path / ".local" / "data"
    assert found.models_dir == tmp_path / "include" / "models"
    assert (found.sql_dir, found.dags_dir) == (tmp_path / "include" / "sql", tmp_path / "dags")
    assert found.airflow_url == "http://127.0.0.1:18080"
    assert found.airflow_passwords == tmp_path / ".local" / "secrets" / "airflow-passwords.json"
    assert (found.overlay, found.clock_file, found.passfile) == (None, None, None)
    assert load_settings({}).home == PROJECT_ROOT


def test_the_env_file_of_a_running_stack_is_found_and_the_environment_wins(tmp_path):
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "modelops.env").write_text(
        "# written by the stack\n\nMODELOPS_MLFLOW_URL=http://127.0.0.1:1\nMODELOPS_AIRFLOW_URL = http://127.0.0.1:2\n"
    )
    found = load_settings({"MODELOPS_HOME": str(tmp_path), "MODELOPS_AIRFLOW_URL": "http://127.0.0.1:3"})
    assert (found.mlflow_url, found.airflow_url) == ("http://127.0.0.1:1", "http://127.0.0.1:3")


def test_ports_and_paths_are_read(tmp_path):
    found = load_settings({"MODELOPS_LOCAL": str(tmp_path), "MODELOPS_SERVER_PORTS": "5-7", "MODELOPS_OVERLAY": "/over"})
    assert found.server_ports == (5, 7)
    assert found.overlay == Path("/over")
    assert load_settings({"MODELOPS_LOCAL": str(tmp_path), "MODELOPS_SERVER_PORTS": "5"}).server_ports == (5, 5)


@pytest.mark.parametrize("text", ["x", "7-5", "0-9", "1-70000", "5-7-9"])
def test_a_range_that_is_none_is_named(tmp_path, text):
    with pytest.raises(SettingsError, match=f"MODELOPS_SERVER_PORTS='{text}'; allowed: first-last"):
        load_settings({"MODELOPS_LOCAL": str(tmp_path), "MODELOPS_SERVER_PORTS": text})


def test_the_gateways_timeouts_are_durations(tmp_path):
    local = {"MODELOPS_LOCAL": str(tmp_path)}
    found = load_settings(local)
    assert (found.gateway_timeout, found.gateway_attempt_timeout) == (timedelta(seconds=10), timedelta(seconds=3))
    found = load_settings(local | {"MODELOPS_GATEWAY_TIMEOUT": "250ms", "MODELOPS_GATEWAY_ATTEMPT_TIMEOUT": "250ms"})
    assert found.gateway_timeout == found.gateway_attempt_timeout == timedelta(milliseconds=250)


@pytest.mark.parametrize("name", ["MODELOPS_GATEWAY_TIMEOUT", "MODELOPS_GATEWAY_ATTEMPT_TIMEOUT"])
@pytest.mark.parametrize("text", ["", "10", "soon", "-1s", "0s", "0.5ms", "25h"])
def test_a_timeout_that_is_none_is_named(tmp_path, name, text):
    with pytest.raises(SettingsError, match=f"{name}='{text}'; allowed: a number and a unit .* from 1ms to 1d"):
        load_settings({"MODELOPS_LOCAL": str(tmp_path), name: text})


@pytest.mark.parametrize(
    ("given", "got", "most"),
    [({"ATTEMPT_TIMEOUT": "11s"}, "11s", "10s"), ({"TIMEOUT": "2s"}, r"3s \(the default\)", "2s")],
)
def test_an_attempt_is_not_longer_than_its_request(tmp_path, given, got, most):
    env = {f"MODELOPS_GATEWAY_{name}": text for name, text in given.items()}
    with pytest.raises(SettingsError, match=f"^MODELOPS_GATEWAY_ATTEMPT_TIMEOUT={got}; allowed: at most .*, which is {most}$"):
        load_settings({"MODELOPS_LOCAL": str(tmp_path)} | env)


def test_settings_of_data_reach_the_stacks_processes_as_absolute_paths(tmp_path, monkeypatch):
    (tmp_path / "modelops.env").write_text("MODELOPS_S3_ENDPOINT=http://127.0.0.1:9000\nMODELOPS_S3_REGION=old\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELOPS_TRAINING_DATA", "new, s3://lake/new/")
    monkeypatch.setenv("MODELOPS_S3_REGION", "eu-1")
    monkeypatch.setenv("MODELOPS_S3_CREDENTIALS", "keys")
    assert data_settings(tmp_path) == {
        "MODELOPS_TRAINING_DATA": f"{tmp_path}/new,s3://lake/new",
        "MODELOPS_S3_CREDENTIALS": f"{tmp_path}/keys",
        "MODELOPS_S3_ENDPOINT": "http://127.0.0.1:9000",
        "MODELOPS_S3_REGION": "eu-1",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SNAPSHOT_REMOTE", "s3://"),
        ("SNAPSHOT_REMOTE", "ftp://x/y"),
        ("TRAINING_DATA", "a, gs://b"),
        ("S3_ENDPOINT", "minio:9000"),
    ],
)
def test_places_that_cannot_be_used_are_named(name, value):
    with pytest.raises(SettingsError, match=f"MODELOPS_{name}="):
        load_settings({f"MODELOPS_{name}": value})


def test_snapshots_and_given_data_lie_in_the_storage_unless_said_otherwise(tmp_path):
    found = load_settings({"MODELOPS_STORAGE": str(tmp_path)})
    assert (found.snapshot_remote, found.training_data) == (f"{tmp_path}/snapshot-remote", (f"{tmp_path}/incoming",))
    assert load_settings({"MODELOPS_SNAPSHOT_REMOTE": "s3://bucket/x/"}).snapshot_remote == "s3://bucket/x"
