"""A real Prometheus watches a real model server with the rules that are shipped: a dead one is an alert within seconds."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from include.settings import PROJECT_ROOT
from tests.conftest import free_port
from tests.unit.serving.folders import build_folder, one_row
from tests.unit.serving.running import eventually, running_server

RULES = PROJECT_ROOT / "docker" / "prometheus" / "rules" / "model-servers.yml"
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="Prometheus is not installed: apt-get install prometheus"),
]


@contextmanager
def prometheus(root: Path, target: str) -> Iterator[httpx.Client]:
    """A Prometheus that scrapes `target` four times a second with the rules, but each `for` is one second."""
    rules = "\n".join("        for: 1s" if line.strip().startswith("for:") else line for line in RULES.read_text().splitlines())
    (root / "rules.yml").write_text(rules)
    often = {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "250ms"}
    scrape = {"job_name": "model-servers", "static_configs": [{"targets": [target]}]}
    (root / "prometheus.yml").write_text(json.dumps({"global": often, "rule_files": ["rules.yml"], "scrape_configs": [scrape]}))
    port = free_port()
    options = [
        f"--config.file={root}/prometheus.yml",
        f"--storage.tsdb.path={root}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (root / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(["prometheus", *options], stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=10) as client:
            yield client
    finally:
        process.kill()
        process.wait(timeout=10)


def value(client: httpx.Client, query: str) -> Any:
    """The first sample's value; None while there is none or Prometheus is not up yet."""
    try:
        found = client.get("/query", params={"query": query}).json()["data"]["result"]
    except (httpx.TransportError, ValueError, KeyError):
        return None
    return float(found[0]["value"][1]) if found else None


def firing(client: httpx.Client) -> set[str]:
    return {one["labels"]["alertname"] for one in client.get("/alerts").json()["data"]["alerts"] if one["state"] == "firing"}


def test_the_rules_are_valid() -> None:
    done = subprocess.run(["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 rules found" in done.stdout


def test_a_dead_server_is_an_alert(tmp_path: Path) -> None:
    digest = build_folder(tmp_path / "3")
    with running_server(tmp_path / "3", digest, tmp_path / "log") as server:
        target = f"127.0.0.1:{server.client.base_url.port}"
        with prometheus(tmp_path, target) as client:
            assert eventually(lambda: value(client, 'up{job="model-servers"}') == 1, 30)
            server.infer(one_row())
            assert eventually(lambda: value(client, 'model_predictions_total{model="flights",version="3"}') == 1, 20)
            assert value(client, f'model_info{{engine="onnx",digest="{digest}"}}') == 1
            assert value(client, "histogram_quantile(0.95, sum by (le) (model_prediction_score_bucket))") is not None
            assert firing(client) == set()
            server.process.kill()
            killed = time.monotonic()
            assert eventually(lambda: "ModelServerDown" in firing(client), 30)
            print(f"alert {time.monotonic() - killed:.1f} s after the kill, of which the rule waits 1 s")
            assert value(client, 'absent(model_info{model="flights"})') == 1
