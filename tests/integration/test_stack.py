"""The whole embedded stack: health, rights, settings applied, recovery of killed processes, and nothing left after the end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import psycopg2
import pytest

from include.lifecycle.errors import SettingsError
from include.settings import PROJECT_ROOT
from include.stack.guard import Guard
from include.stack.launch import leftovers
from include.stack.layout import Layout
from include.stack.local import LocalStack
from include.stack.ports import Ports
from include.stack.programs import AIRFLOW, SUPERVISED
from include.stack.prometheus import OPTIONAL

pytestmark = pytest.mark.integration
HAS_PROMETHEUS = all(shutil.which(name) for name in ("prometheus", "prometheus-alertmanager"))
METRICS = OPTIONAL if HAS_PROMETHEUS else OPTIONAL[:1]
PROGRAMS = ("postgres", "gateway", "watchdog", "mlflow", *AIRFLOW, *METRICS)


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    made = LocalStack.at(Path(tempfile.mkdtemp(prefix="modelops-stack-")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELOPS_PROMETHEUS", "1" if HAS_PROMETHEUS else "exporter")
        made.up()  # the setting is kept for all that follows
    yield made
    family = [made.pid("supervisord"), *(made.pid(name) for name in PROGRAMS)]
    made.down()
    assert not [pid for pid in family if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]
    assert made.status() == {}
    made.layout.remove()


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.3)


def connect(stack: LocalStack, role: str, database: str):
    return psycopg2.connect(
        host="127.0.0.1",
        port=stack.ports.postgres,
        user=role,
        dbname=database,
        passfile=str(stack.layout.secrets / "pgpass-admin"),
    )


def test_everything_is_healthy(stack: LocalStack):
    assert stack.status() == dict.fromkeys(sorted(PROGRAMS), "healthy")
    assert httpx.get(f"{stack.settings.mlflow_url}/health").text == "OK"
    assert httpx.get(f"{stack.settings.gateway_admin_url}/ready").status_code == 200


def test_a_second_start_reuses_what_stands(stack: LocalStack):
    before = {name: stack.pid(name) for name in PROGRAMS}
    began = time.monotonic()
    LocalStack.at(stack.layout.local).up()
    assert time.monotonic() - began < 15
    assert {name: stack.pid(name) for name in PROGRAMS} == before


def metrics(stack: LocalStack) -> str:
    shown = {"authorization": f"Bearer {stack.secrets.token('metrics-token')}"}
    return httpx.get(f"http://127.0.0.1:{stack.ports.exporter}/metrics", headers=shown, timeout=20).text


def test_the_exporter_tells_of_airflow_and_of_paused_dags(stack: LocalStack):
    assert httpx.get(f"http://127.0.0.1:{stack.ports.exporter}/metrics").status_code == 401
    with stack.airflow() as client:
        assert client.patch("/api/v2/dags/retire", json={"is_paused": True}).is_success
        wait_for(lambda: 'modelops_dag_paused{dag_id="retire",kind="platform"} 1.0' in metrics(stack), 60)
        assert client.patch("/api/v2/dags/retire", json={"is_paused": False}).is_success
    told = metrics(stack)
    assert 'modelops_airflow_component_up{component="scheduler"} 1.0' in told
    assert 'modelops_dag_paused{dag_id="monitor_hourly",kind="platform"} 0.0' in told
    assert {line for line in told.splitlines() if line.startswith("modelops_exporter_source_up")} == {
        f'modelops_exporter_source_up{{source="{name}"}} 1.0'
        for name in ("windows", "ages", "signals", "trainings", "rollouts", "alerts", "kpis", "watchdog", "host")
    }


@pytest.mark.skipif(not HAS_PROMETHEUS, reason="Prometheus is not installed: apt-get install prometheus prometheus-alertmanager")
def test_an_alert_becomes_a_row_through_airflow_s_own_door(stack: LocalStack):
    at = f"http://127.0.0.1:{stack.ports.alertmanager}"
    fired = {"labels": {"alertname": "Tried", "model": "flight_delay", "priority": "P3"}, "annotations": {"summary": "tried"}}
    assert httpx.post(f"{at}/api/v2/alerts", json=[fired]).is_success

    def raised() -> bool:
        with connect(stack, "modelops", "modelops") as database, database.cursor() as cursor:
            cursor.execute("SELECT model, severity, state, title FROM alerts WHERE key LIKE 'prometheus:Tried:%'")
            return cursor.fetchall() == [("flight_delay", "P3", "open", "tried")]

    wait_for(raised, 60)


def test_settings_file_is_applied_and_users_have_their_roles(stack: LocalStack):
    with stack.airflow("vic") as viewer, stack.airflow() as admin:
        assert viewer.post("/api/v2/pools", json={"name": "x", "slots": 1}).status_code == 403
        assert admin.get("/api/v2/pools/training").json()["slots"] == 2
        database = admin.get("/api/v2/connections/production_db").json()
    assert (database["port"], database["login"]) == (stack.ports.postgres, "production_reader")


def test_the_reader_reads_and_does_not_write(stack: LocalStack):
    with connect(stack, "production", "production") as owner, owner.cursor() as cursor:
        cursor.execute("CREATE TABLE probe (a int); INSERT INTO probe VALUES (1)")
    with connect(stack, "production_reader", "production") as reader, reader.cursor() as cursor:
        cursor.execute("SELECT a FROM probe")
        assert cursor.fetchall() == [(1,)]
        with pytest.raises(psycopg2.Error, match=r"read-only|permission denied"):
            cursor.execute("INSERT INTO probe VALUES (2)")
    with pytest.raises(psycopg2.OperationalError, match="permission denied"):
        connect(stack, "production_reader", "modelops")


def test_mlflow_serves_artefacts_by_proxy(stack: LocalStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", stack.settings.mlflow_url)
    client = MlflowClient(stack.settings.mlflow_url)
    run = client.create_run(client.create_experiment("probe"))
    (tmp_path / "a.txt").write_text("artefact")
    client.log_artifact(run.info.run_id, str(tmp_path / "a.txt"))
    assert [item.path for item in client.list_artifacts(run.info.run_id)] == ["a.txt"]
    assert list(stack.layout.artifacts.rglob("a.txt"))


def test_no_secret_is_visible_in_the_process_table(stack: LocalStack):
    secrets = [stack.secrets.password(role) for role in ("postgres", "airflow", "mlflow", "modelops", "production")]
    secrets += [stack.secrets.fernet_key(), stack.secrets.token("airflow-jwt-secret"), stack.credentials("admin")[1]]
    processes = [psutil.Process(stack.pid("supervisord")), *psutil.Process(stack.pid("supervisord")).children(recursive=True)]
    shown = ""
    for process in processes:
        try:
            shown += " ".join(process.cmdline()) + " ".join(process.environ().values())
        except psutil.Error:
            continue
    assert "airflow" in shown
    assert not [secret for secret in secrets if secret in shown]


@pytest.mark.parametrize("program", ["gateway", "postgres", "scheduler"])
def test_a_killed_process_comes_back(stack: LocalStack, program: str):
    before = stack.pid(program)
    children = psutil.Process(before).children(recursive=True)
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: stack.pid(program) not in (0, before), 30)
    wait_for(lambda: set(stack.status().values()) == {"healthy"}, 150)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_a_killed_supervisord_is_replaced_with_everything_it_held(stack: LocalStack):
    before = stack.pid("supervisord")
    with Guard(stack):
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: stack.supervisor.answers() and stack.pid("supervisord") != before, 30)
        wait_for(lambda: stack.status() == dict.fromkeys(sorted(PROGRAMS), "healthy"), 150)


def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path):
    made = LocalStack.at(tmp_path / "local")
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        made.layout.local.mkdir()
        Ports(postgres=taken).write(made.layout.ports_file)
        with pytest.raises(SettingsError, match=rf"{taken} \(postgres\).*MODELOPS_POSTGRES_PORT"):
            made.up()
    assert made.status() == {}
    assert not made.layout.secrets.exists()
    assert not made.layout.postgres.exists()


def test_an_interrupted_start_leaves_nothing_running(tmp_path: Path):
    local = Path(tempfile.mkdtemp(prefix="modelops-stack-"))
    command = [sys.executable, "-m", "include.stack", "up", "--local", str(local), "--free-ports"]
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, cwd=PROJECT_ROOT, start_new_session=True)
    wait_for((local / "supervisor" / "programs" / "postgres.pgid").exists, 60)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=90) == 130
    assert "interrupted" in (tmp_path / "said").read_text()
    assert not leftovers(local / "none", {SUPERVISED: str(local)})
    Layout.of(local).remove()
    assert not local.exists()
