"""Trigger sources in a real Airflow: a triggerer that restarts, Dags that are paused, people who answer, outsiders who may not.

A small Airflow of its own with the Dags `decide` and `ask` and two models on one database of visits; no stack, no training.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, make_url, text

from include.lifecycle.ledger import Entry
from include.settings import PROJECT_ROOT
from tests.conftest import free_port

AIRFLOW = Path(sys.executable).with_name("airflow")
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
QUERY = "SELECT visit_id, visited_at, age, ill FROM visits WHERE visited_at >= :window_start AND visited_at < :window_end"
YAML = """
name: {name}
description: Visits
owner: clinic
tier: primary
data: {{connection: clinic_db, query: {name}.sql, key: visit_id, event_time: visited_at, target: ill, new_rows_threshold: 10}}
labels: {{query: {name}.sql, mature_after: 1h}}
features: {{numeric: [age]}}
objective: {{task: binary_classification, metric: roc_auc, floor: none}}
retraining: {{mode: {mode}, schedule: none}}
"""
HOUR = timedelta(hours=1)


class SmallAirflow:
    """Four components on free ports, PostgreSQL behind them, and both databases at hand."""

    def __init__(self, root: Path, postgres: Any, rt: Any) -> None:
        self.root, self.rt, self.processes = root, rt, {}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.airflow, self.clinic = (postgres.url(postgres.create_database(), with_password=True) for _ in range(2))
        home = root / "home"
        for folder in ("include/models", "include/sql", "dags"):
            (home / folder).mkdir(parents=True)
        shutil.copy(PROJECT_ROOT / "include/models/_defaults.yaml", home / "include/models")
        for name, mode in (("asthma", "suggest"), ("bronchitis", "approve")):
            (home / f"include/models/{name}.yaml").write_text(YAML.format(name=name, mode=mode))
            (home / f"include/sql/{name}.sql").write_text(QUERY)
        for dag in ("decide.py", "ask.py"):
            shutil.copy(PROJECT_ROOT / "dags" / dag, home / "dags")
        (root / "passwords.json").write_text(json.dumps({"admin": "a", "vic": "v"}))
        self.environment = os.environ | self._settings(home)

    def _settings(self, home: Path) -> dict[str, str]:
        core = {"LOAD_EXAMPLES": "False", "DAGS_FOLDER": home / "dags", "PLUGINS_FOLDER": PROJECT_ROOT / "plugins"}
        core |= {"EXECUTOR": "LocalExecutor", "PARALLELISM": 2, "DAGS_ARE_PAUSED_AT_CREATION": "False", "UNIT_TEST_MODE": "False"}
        core |= {"EXECUTION_API_SERVER_URL": f"{self.url}/execution/", "SIMPLE_AUTH_MANAGER_USERS": "admin:admin,vic:viewer"}
        core |= {"SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": self.root / "passwords.json"}
        core |= {"FERNET_KEY": "81HqDtbqAywKSOumSha3BhWNOdQ26slT6K0YaZeZyPs="}
        sections = {"CORE": core, "API": {"PORT": self.port, "HOST": "127.0.0.1", "BASE_URL": self.url, "WORKERS": 1}}
        sections |= {"DATABASE": {"SQL_ALCHEMY_CONN": self.airflow}, "API_AUTH": {"JWT_SECRET": "t" * 64}}
        sections |= {"LOGGING": {"WORKER_LOG_SERVER_PORT": free_port(), "TRIGGER_LOG_SERVER_PORT": free_port()}}
        sections |= {"SCHEDULER": {"SCHEDULER_IDLE_SLEEP_TIME": 0.5}}
        sections |= {"DAG_PROCESSOR": {"REFRESH_INTERVAL": 10, "MIN_FILE_PROCESS_INTERVAL": 15}}
        chosen = {f"AIRFLOW__{name}__{key}": str(value) for name, keys in sections.items() for key, value in keys.items()}
        return chosen | {
            "AIRFLOW_HOME": str(self.root / "airflow"),
            "AIRFLOW_CONN_CLINIC_DB": self.clinic.replace("postgresql+psycopg2", "postgres"),
            "PYTHONPATH": str(PROJECT_ROOT),
            "MODELOPS_HOME": str(home),
            "MODELOPS_LOCAL": str(self.root / "local"),
            "MODELOPS_DATABASE_URL": self.rt.settings.database_url,
            "MODELOPS_PASSFILE": str(self.rt.settings.passfile),
            "MODELOPS_NEW_ROWS_POLL": "2s",
        }

    def start(self, *names: str) -> None:
        """Start components, each in a process group of its own."""
        for name in names:
            with (self.root / f"{name}.log").open("ab") as log:
                command = [str(AIRFLOW), name]
                self.processes[name] = subprocess.Popen(
                    command, env=self.environment, stdout=log, stderr=log, cwd=self.root, start_new_session=True
                )

    def stop(self, *names: str) -> None:
        """End components with all their children."""
        for name in names:
            process = self.processes.pop(name)
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)

    def client(self, user: str, password: str) -> httpx.Client:
        """A logged-in client of the REST API."""
        answer = httpx.post(f"{self.url}/auth/token", json={"username": user, "password": password}, timeout=20)
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return httpx.Client(base_url=f"{self.url}/api/v2", headers=headers, timeout=30)

    def ours(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of our own database."""
        with self.rt.engine.begin() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def visits(self, count: int, at: datetime) -> None:
        engine = create_engine(make_url(self.clinic))
        with engine.begin() as connection:
            connection.execute(
                text("CREATE TABLE IF NOT EXISTS visits (visit_id serial, visited_at timestamptz, age float, ill int)")
            )
            statement = text("INSERT INTO visits (visited_at, age, ill) SELECT :at, 40, 0 FROM generate_series(1, :count)")
            connection.execute(statement, {"at": at, "count": count})
        engine.dispose()


def until(seen: Callable[[], Any], what: str, seconds: float = 240) -> Any:
    """What `seen` returns once it is true; nothing is asked while the API is not up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found := seen():
                return found
        except (httpx.HTTPError, KeyError):
            pass
        time.sleep(1)
    return pytest.fail(f"waited {seconds} s for {what}")


@pytest.fixture
def small(tmp_path, postgres, make_runtime) -> Iterator[SmallAirflow]:
    from include.lifecycle.clock import SystemClock

    small = SmallAirflow(tmp_path, postgres, make_runtime(SystemClock()))
    migrate = [str(AIRFLOW), "db", "migrate"]
    subprocess.run(migrate, env=small.environment, capture_output=True, check=True, timeout=180)
    try:
        yield small
    finally:
        small.stop(*list(small.processes))


def trained(small: SmallAirflow, model: str, ended: datetime) -> None:
    """A training that made a version long ago, so that its newer rows count."""
    with small.rt.engine.begin() as connection:
        statement = """INSERT INTO training_requests (model, source, reason, state, requested_at, requested_by, run_id, version)
            VALUES (:model, 'manual', 'r', 'done', :at, 'x', 'run-1', 1)"""
        connection.execute(text(statement), {"model": model, "at": ended - 48 * HOUR})
    evidence = {"order": {"window_end": ended.isoformat()}, "forced": True}
    entry = Entry(model=model, kind="training", act="confirm training", reason="r", actor="x", run_id="run-1", evidence=evidence)
    small.rt.ledger.write(entry)


def asked_of(admin: httpx.Client) -> set[str]:
    found = admin.get("/dags/~/dagRuns/~/hitlDetails", params={"response_received": False}).json()
    return {one["subject"] for one in found["hitl_details"]}


def test_nothing_is_lost_and_nothing_comes_twice(small):
    now = datetime.now(UTC)
    for model in ("asthma", "bronchitis"):
        trained(small, model, now - 10 * HOUR)
    small.visits(9, now - 5 * HOUR)
    small.start(*COMPONENTS)
    admin = until(lambda: small.client("admin", "a"), "Airflow's API")
    stored = "/assets?uri_pattern=modelops://new-rows"
    until(lambda: admin.get(stored).json()["assets"][0]["watchers"], "the watcher")
    small.stop("triggerer")
    small.visits(1, now - 4 * HOUR)  # the tenth row comes while no triggerer runs
    small.start("triggerer")
    until(lambda: len(small.ours("SELECT 1 FROM signals")) == 2, "both signals")
    questions = {"Train asthma?", "Start the requested training of bronchitis?"}
    until(lambda: asked_of(admin) == questions, "both questions, side by side")
    small.stop("triggerer")
    small.start("triggerer")
    for run, chosen in (("question-1", "Approve"), ("question-2", "Reject")):
        path = f"/dags/ask/dagRuns/{run}/taskInstances/ask/-1/hitlDetails"
        assert admin.patch(path, json={"chosen_options": [chosen], "params_input": {"comment": ""}}).status_code == 200
    until(lambda: not small.ours("SELECT 1 FROM questions WHERE state = 'open'"), "the answers")
    kinds = dict(small.ours("SELECT kind, answered_by FROM questions"))
    assert kinds == {"suggest": "admin", "approve": "admin"}
    assert len(small.ours("SELECT 1 FROM training_requests WHERE source = 'signal'")) == 2
    _outsiders_while_decide_is_paused(small, admin)
    assert small.ours("SELECT count(*) FROM signals WHERE kind = 'volume'") == [(2,)]


def _outsiders_while_decide_is_paused(small: SmallAirflow, admin: httpx.Client) -> None:
    assert admin.patch("/dags/decide", json={"is_paused": True}).status_code == 200
    asset = admin.get("/assets", params={"uri_pattern": "modelops://external-requests"}).json()["assets"][0]["id"]
    body = {"asset_id": asset, "extra": {"model": "asthma", "reason": "new tariffs", "cause": "tariffs"}}
    assert httpx.post(f"{small.url}/api/v2/assets/events", json=body).status_code == 401
    assert small.client("vic", "v").post("/assets/events", json=body).status_code == 403
    assert admin.post("/assets/events", json=body).status_code == 200
    assert httpx.post(f"{small.url}/modelops/hooks/mlflow", json={}).status_code == 401
    assert admin.patch("/dags/decide", json={"is_paused": False}).status_code == 200
    assert admin.post("/dags/decide/dagRuns", json={"logical_date": None}).status_code == 200
    until(lambda: small.ours("SELECT 1 FROM signals WHERE cause = 'external:tariffs'"), "the event that a paused Dag left")
