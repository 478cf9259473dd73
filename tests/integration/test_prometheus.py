"""A real Prometheus and a real Alertmanager with the shipped rules: a silent monitor and a dead server become rows, and end."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import yaml
from sqlalchemy import select

from include.lifecycle.database import transaction
from include.lifecycle.exporter.scrape import Scraper
from include.lifecycle.exporter.server import MetricsServer
from include.lifecycle.exporter.targets import write_targets
from include.lifecycle.rollout.targets.programs import program_text
from include.lifecycle.runtime import Runtime, runtime
from include.lifecycle.tables import alerts, desired_traffic, windows
from include.settings import settings
from include.stack import prometheus
from include.stack.credentials import Credentials
from include.stack.layout import Layout
from include.stack.ports import Ports
from tests.conftest import NOW, free_port

MODEL = "flight_delay"
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not all(shutil.which(name) for name in ("prometheus", "prometheus-alertmanager")),
        reason="Prometheus is not installed: apt-get install prometheus prometheus-alertmanager",
    ),
]


def eventually(condition: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)
    return found


@contextmanager
def process(command: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        started = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield
    finally:
        started.kill()
        started.wait(timeout=10)


@contextmanager
def door(port: int) -> Iterator[None]:
    """Alertmanager's door as the api-server mounts it, without the rest of Airflow."""
    from fastapi import FastAPI

    from modelops.api.alertmanager import app

    outer = FastAPI()
    outer.mount("/modelops/prometheus", app)
    server = uvicorn.Server(uvicorn.Config(outer, host="127.0.0.1", port=port, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    eventually(lambda: server.started)
    yield
    server.should_exit = True
    thread.join(timeout=10)


def hurry(layout: Layout) -> None:
    """The stack's own configurations, but with a second where they wait for minutes."""
    folder = layout.prometheus / "rules"
    folder.mkdir()
    config = yaml.safe_load((layout.prometheus / "prometheus.yml").read_text())
    for file in Path(config["rule_files"][0]).parent.glob("*.yml"):
        (folder / file.name).write_text(re.sub(r"for: \d+[smh]", "for: 1s", file.read_text()))
    config["rule_files"] = [str(folder / "*.yml")]
    config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
    for job in config["scrape_configs"]:
        job.pop("scrape_interval", None)
        for found in job.get("file_sd_configs", []):
            found["refresh_interval"] = "1s"
    (layout.prometheus / "prometheus.yml").write_text(yaml.safe_dump(config))
    config = yaml.safe_load((layout.prometheus / "alertmanager.yml").read_text())
    config["route"] |= {"group_wait": "0s", "group_interval": "1s"}
    (layout.prometheus / "alertmanager.yml").write_text(yaml.safe_dump(config))


@pytest.fixture
def ports() -> Ports:
    names = ("exporter", "prometheus", "alertmanager", "airflow", "gateway_admin", "servers")
    return Ports(**{name: free_port() for name in names})


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout.of(tmp_path / "local")
    made.create()
    Credentials(made).write(postgres_port=1)
    return made


@pytest.fixture
def here(rt: Runtime, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    monkeypatch.setenv("MODELOPS_LOCAL", str(layout.local))
    monkeypatch.setenv("MODELOPS_DATABASE_URL", rt.settings.database_url)
    monkeypatch.setenv("MODELOPS_PASSFILE", str(rt.settings.passfile))
    settings.cache_clear()
    runtime.cache_clear()
    yield rt
    settings.cache_clear()
    runtime.cache_clear()


def measured(rt: Runtime, age: timedelta) -> None:
    row = {"model": MODEL, "version": 3, "window_start": NOW - age - timedelta(hours=1), "window_end": NOW - age}
    with transaction(rt.engine) as connection:
        connection.execute(windows.insert().values(row | {"rows": 10, "mature_rows": 0, "measurements": {}, "verdicts": []}))


def rows(rt: Runtime) -> dict[str, dict[str, Any]]:
    """Alerts by the rule that raised them."""
    with transaction(rt.engine) as connection:
        found = connection.execute(select(alerts).order_by(alerts.c.id)).mappings().all()
    return {row["evidence"]["rule"]: dict(row) for row in found}


def test_a_silent_monitor_and_a_dead_server_become_rows_and_end(here: Runtime, layout: Layout, ports: Ports):
    with transaction(here.engine) as connection:
        connection.execute(desired_traffic.insert().values(model=MODEL, revision=1, weights={"3": 100}, champion=3))
    measured(here, timedelta(days=60))
    command = ["-m", "include.serving.server", "--directory", "/v", "--digest", "0", "--port", str(ports.servers)]
    text = program_text(f"server-{MODEL}-3", here.settings, command, stop_seconds=5)
    (layout.server_conf / f"server-{MODEL}-3.conf").write_text(text)
    write_targets(layout.server_conf, layout.prometheus / "targets")
    prometheus.write(layout, ports, "all")
    hurry(layout)
    exporter = MetricsServer(("127.0.0.1", ports.exporter), Scraper(here).exposition, layout.secrets / "metrics-token")
    threading.Thread(target=exporter.serve_forever, daemon=True).start()
    commands = prometheus.commands(layout, ports, "all")
    commands["prometheus"].append("--rules.alert.resend-delay=1s")
    with ExitStack() as running:
        running.callback(exporter.shutdown)
        running.enter_context(door(ports.airflow))
        for name in ("alertmanager", "prometheus"):
            running.enter_context(process(commands[name], layout.logs / f"{name}.log"))
        began = time.monotonic()
        silent = eventually(lambda: rows(here).get("MonitorSilent"))
        print(f"from start to row: {time.monotonic() - began:.1f} s")
        assert (silent["model"], silent["severity"], silent["state"]) == (MODEL, "P1", "open")
        assert silent["title"] == f"{MODEL} has had no finished window for 60d 0h 0m 0s"
        assert silent["runbook"] == "alerts-from-prometheus"
        dead = eventually(lambda: rows(here).get("ModelServerDown"))
        assert (dead["model"], dead["severity"], dead["evidence"]["labels"]["server"]) == (MODEL, "P1", f"server-{MODEL}-3")
        measured(here, timedelta(minutes=5))
        ended = eventually(lambda: (row := rows(here)["MonitorSilent"])["state"] == "resolved" and row)
        assert ended["id"] == silent["id"]
        assert rows(here)["ModelServerDown"]["state"] == "open"
        asked = httpx.get(
            f"http://127.0.0.1:{ports.prometheus}/api/v1/query", params={"query": f'model_window_age_seconds{{model="{MODEL}"}}'}
        )
        assert float(asked.json()["data"]["result"][0]["value"][1]) == 300


def test_an_exporter_that_asks_for_another_token_is_down(here: Runtime, layout: Layout, ports: Ports):
    """Who does not show the token gets nothing, and that nobody answers is itself an alert."""
    prometheus.write(layout, ports, "all")
    hurry(layout)
    other = layout.secrets / "another-token"
    other.write_text("a-token-of-some-length")
    exporter = MetricsServer(("127.0.0.1", ports.exporter), Scraper(here).exposition, other)
    threading.Thread(target=exporter.serve_forever, daemon=True).start()
    with ExitStack() as running:
        running.callback(exporter.shutdown)
        running.enter_context(process(prometheus.commands(layout, ports, "all")["prometheus"], layout.logs / "prometheus.log"))

        def firing() -> set[str]:
            try:
                told = httpx.get(f"http://127.0.0.1:{ports.prometheus}/api/v1/alerts").json()["data"]["alerts"]
            except (httpx.TransportError, ValueError, KeyError):
                return set()
            return {one["labels"]["alertname"] for one in told if one["state"] == "firing"}

        eventually(lambda: {"ExporterDown", "GatewayDown"} <= firing())
