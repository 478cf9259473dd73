"""The stack's programs: what each runs, and with which environment. Model servers are the rollout's."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.lifecycle.storage import write_whole
from include.settings import load_settings
from include.stack import evidently_ui, postgres, prometheus

if TYPE_CHECKING:
    from include.stack.credentials import Credentials
    from include.stack.layout import Layout
    from include.stack.ports import Ports

AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer")
# The ports (of Ports) that each program listens on.
LISTENS = {
    "postgres": ("postgres",),
    "gateway": ("gateway", "gateway_admin"),
    "mlflow": ("mlflow",),
    "api-server": ("airflow",),
    "scheduler": ("worker_log",),
    "triggerer": ("trigger_log",),
    "exporter": ("exporter",),
    "prometheus": ("prometheus",),
    "alertmanager": ("alertmanager",),
    evidently_ui.NAME: ("evidently",),
}
SUPERVISED = "MODELOPS_SUPERVISED"  # carried by all that descends from a stack's supervisord: how its orphans are found
_KEPT = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "LD_LIBRARY_PATH")
# One thread per native library: six tasks on two cores gain nothing from more, and pools of threads do not survive a fork.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Program:
    """One process that supervisord keeps running."""

    name: str
    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: str = "TERM"
    stop_seconds: int = 10
    priority: int = 30


def base_environment(layout: Layout) -> dict[str, str]:
    """What every process of the stack gets: where programs and modules are found, nothing else of the caller's environment."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    kept["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    path = os.pathsep.join([str(layout.home), str(layout.home / "plugins")])
    return kept | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1", "MODELOPS_LOCAL": str(layout.local)}


def build_programs(layout: Layout, ports: Ports, credentials: Credentials, settings: dict[str, str]) -> list[Program]:
    """All programs in the order in which they may start; `settings`: MODELOPS_* for Airflow's components."""
    from include.lifecycle.rollout.gateway.gateway import envoy_command

    server = Program(
        "postgres",
        postgres.argv(layout.postgres, ports.postgres),
        user=postgres.system_user(),
        stop_signal="INT",
        stop_seconds=20,
        priority=10,
    )
    return [
        server,
        Program("gateway", envoy_command(layout.gateway / "bootstrap.json"), priority=20),
        Program(
            "watchdog", [sys.executable, "-m", "include.lifecycle.rollout.watchdog.process"], settings | _ONE_THREAD, priority=20
        ),
        _mlflow(layout, ports, credentials),
        *_airflow(layout, credentials, settings),
        *_metrics(layout, ports, settings),
    ]


def airflow_environment(layout: Layout, credentials: Credentials, settings: dict[str, str]) -> dict[str, str]:
    """Variables of Airflow's components and its command line; the keys are in the file that AIRFLOW_CONFIG names."""
    return {
        **base_environment(layout),
        **settings,
        "AIRFLOW_HOME": str(layout.airflow_home),
        "AIRFLOW_CONFIG": str(layout.airflow_config),
        "PGPASSFILE": str(credentials.passfile),
        "MLFLOW_TRACKING_URI": settings["MODELOPS_MLFLOW_URL"],
        "GIT_PYTHON_REFRESH": "quiet",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    }


def write_programs(layout: Layout, programs: list[Program]) -> set[str]:
    """Write what the launcher starts, one file per program; return the names whose file is new or changed."""
    changed = set()
    for program in programs:
        mark = {"MODELOPS_PROGRAM": program.name, "MODELOPS_LOCAL": str(layout.local)}
        environment = base_environment(layout) | program.env | mark | {SUPERVISED: str(layout.local)}
        spec = {"name": program.name, "argv": program.argv, "env": environment, "cwd": str(layout.local), "user": program.user}
        path = layout.programs / f"{program.name}.json"
        if not path.is_file() or _essence(json.loads(path.read_text(encoding="utf-8"))) != _essence(spec):
            changed.add(program.name)
        write_whole(path, json.dumps(spec, indent=2, sort_keys=True))
    return changed


def _essence(spec: dict[str, Any]) -> dict[str, Any]:
    """A program without what merely comes from the caller's shell: another PATH is no reason for a restart."""
    return spec | {"env": {name: value for name, value in spec["env"].items() if name not in _KEPT}}


def _mlflow(layout: Layout, ports: Ports, credentials: Credentials) -> Program:
    """MLflow's server application in one process.

    `mlflow server` would import MLflow twice (itself, then in uvicorn's process: 6 s of CPU each) and add a job runner that
    nothing here uses; these variables are what it hands to uvicorn (mlflow.server.constants of the pinned version).
    """
    environment = {
        "_MLFLOW_SERVER_FILE_STORE": f"postgresql+psycopg2://mlflow@127.0.0.1:{ports.postgres}/mlflow",
        "_MLFLOW_SERVER_REGISTRY_STORE": f"postgresql+psycopg2://mlflow@127.0.0.1:{ports.postgres}/mlflow",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(layout.artifacts),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SGI_NAME": "uvicorn",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PGPASSFILE": str(credentials.mlflow_passfile),
        "GIT_PYTHON_REFRESH": "quiet",
        **_ONE_THREAD,
    }
    listen = ["--host", "127.0.0.1", "--port", str(ports.mlflow), "--log-level", "warning"]
    argv = [sys.executable, "-m", "uvicorn", "mlflow.server.fastapi_app:app", "--workers", "1", *listen]
    return Program("mlflow", argv, environment, priority=20)


def _metrics(layout: Layout, ports: Ports, settings: dict[str, str]) -> list[Program]:
    """Exporter, Prometheus, Alertmanager and Evidently's UI, as far as they are asked for; they start last and end first."""
    asked = load_settings(settings).metrics
    commands = prometheus.commands(layout, ports, asked.runs)
    commands |= {evidently_ui.NAME: evidently_ui.command(layout, ports)} if asked.evidently else {}
    own = {"exporter": settings | _ONE_THREAD}
    return [Program(name, argv, own.get(name, {}), priority=40) for name, argv in commands.items()]


def _airflow(layout: Layout, credentials: Credentials, settings: dict[str, str]) -> list[Program]:
    environment = airflow_environment(layout, credentials, settings)
    environment |= _ONE_THREAD
    # A task that does not end within the stop's seconds is killed, and runs again after the next start.
    return [Program(name, [sys.executable, "-m", "airflow", name], environment, stop_seconds=6) for name in AIRFLOW]
