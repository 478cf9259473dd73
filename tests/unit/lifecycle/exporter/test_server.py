"""The exporter's door: no token, no numbers; and the targets that Prometheus finds in a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from include.lifecycle.errors import SettingsError
from include.lifecycle.exporter.server import MetricsServer
from include.lifecycle.exporter.targets import FILE, write_targets
from include.lifecycle.rollout.targets.programs import ServerProgram, program_text
from include.lifecycle.runtime import Runtime
from include.settings import PROJECT_ROOT, load_settings
from tests.conftest import free_port

TOKEN = "a-token-of-some-length"


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    return file


@pytest.fixture
def client(token: Path) -> Iterator[httpx.Client]:
    told = (f"looks {number}\n".encode() for number in range(100))
    server = MetricsServer(("127.0.0.1", 0), told.__next__, token)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}", timeout=10) as found:
        yield found
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"authorization": "Bearer"}, 401),
        ({"authorization": "Bearer x"}, 403),
    ],
)
def test_who_shows_no_token_gets_no_numbers(client: httpx.Client, headers: dict[str, str], status: int):
    answer = client.get("/metrics", headers=headers)
    assert (answer.status_code, "looks" in answer.text) == (status, False)


def test_the_token_opens_and_an_answer_is_kept_for_a_second(client: httpx.Client):
    shown = {"authorization": f"Bearer {TOKEN}"}
    answers = [client.get("/metrics", headers=shown) for _ in range(3)]
    assert {(answer.status_code, answer.text) for answer in answers} == {(200, "looks 0\n")}
    assert answers[0].headers["content-type"].startswith("text/plain; version=0.0.4")


def test_a_new_token_counts_at_once_and_none_closes(client: httpx.Client, token: Path):
    token.write_text("another-token-of-some-length")
    assert client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 403
    token.unlink()
    assert client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 503


def test_health_and_nothing_else_is_open(client: httpx.Client):
    assert client.get("/health").status_code == 200
    assert client.get("/").status_code == 404
    assert client.post("/metrics").status_code == 501


@pytest.mark.parametrize("text", [None, "", "short"])
def test_no_server_without_a_token_that_protects(tmp_path: Path, text: str | None):
    if text is not None:
        (tmp_path / "token").write_text(text)
    with pytest.raises(SettingsError, match="MODELOPS_METRICS_TOKEN_FILE"):
        MetricsServer(("127.0.0.1", 0), bytes, tmp_path / "token")


def test_targets_are_the_declared_servers_and_are_written_when_they_change(tmp_path: Path):
    settings, conf, folder = load_settings({"MODELOPS_LOCAL": str(tmp_path)}), tmp_path / "conf.d", tmp_path / "targets"
    conf.mkdir()
    assert write_targets(conf, folder)
    assert json.loads((folder / FILE).read_text()) == []
    for program, port in ((ServerProgram("churn", 8), 18301), (ServerProgram("churn", 7, baseline=True), 18302)):
        command = ["-m", "include.serving.server", "--directory", "/v", "--digest", "0" * 64, "--port", str(port)]
        (conf / f"{program.name}.conf").write_text(program_text(program.name, settings, command, stop_seconds=5))
    assert write_targets(conf, folder)
    baseline = {"server": "server-churn-7-baseline", "model": "churn", "version": "7", "arm": "baseline"}
    live = {"server": "server-churn-8", "model": "churn", "version": "8", "arm": "live"}
    assert json.loads((folder / FILE).read_text()) == [
        {"targets": ["127.0.0.1:18302"], "labels": baseline},
        {"targets": ["127.0.0.1:18301"], "labels": live},
    ]
    assert not write_targets(conf, folder)
    (conf / "server-churn-8.conf").unlink()
    assert write_targets(conf, folder)
    assert len(json.loads((folder / FILE).read_text())) == 1


def test_the_program_serves_tells_targets_logs_json_and_ends(rt: Runtime, tmp_path: Path, token: Path):
    port = free_port()
    environment = dict(os.environ) | {
        "MODELOPS_LOCAL": str(tmp_path / "local"),
        "MODELOPS_DATABASE_URL": rt.settings.database_url,
        "MODELOPS_PASSFILE": str(rt.settings.passfile),
        "MODELOPS_METRICS_TOKEN_FILE": str(token),
        "MODELOPS_AIRFLOW_URL": "http://127.0.0.1:1",
    }
    (tmp_path / "local" / "secrets").mkdir(parents=True)
    (tmp_path / "local" / "secrets" / "airflow-passwords.json").write_text('{"admin": "x"}')
    command = [sys.executable, "-m", "include.lifecycle.exporter", "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=PROJECT_ROOT, env=environment, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while not _answers(f"{address}/health"):
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.1)
        told = httpx.get(f"{address}/metrics", headers={"authorization": f"Bearer {TOKEN}"}, timeout=20).text
        assert 'modelops_exporter_source_up{source="signals"} 1.0' in told
        assert "modelops_airflow_up 0.0" in told
        assert json.loads((tmp_path / "local" / "prometheus" / "targets" / FILE).read_text()) == []
        process.terminate()
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert lines[0]["message"] == f"metrics at {address}/metrics"
    assert all(list(line)[:6] == ["timestamp", "level", "message", "module", "model_name", "version"] for line in lines)


def test_without_a_token_the_program_says_so_and_ends(tmp_path: Path):
    environment = dict(os.environ) | {"MODELOPS_LOCAL": str(tmp_path)}
    command = [sys.executable, "-m", "include.lifecycle.exporter", "--port", str(free_port())]
    done = subprocess.run(command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "MODELOPS_METRICS_TOKEN_FILE" in json.loads(done.stderr)["message"]


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False
