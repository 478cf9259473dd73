"""Brings the programs up in the order of their needs, as parallel as two cores allow, and says which one fails and why.

PostgreSQL and Envoy first; then MLflow (which makes its own tables) beside Airflow's migration; then Airflow's four components,
and the exporter with Prometheus and Alertmanager where they are asked for.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.migrations import upgrade
from include.stack.credentials import Credentials
from include.stack.databases import airflow_is_migrated, create_databases
from include.stack.health import probe
from include.stack.layout import Layout
from include.stack.ports import Ports
from include.stack.programs import AIRFLOW, airflow_environment
from include.stack.progress import Progress
from include.stack.supervisor import Supervisor

_PATIENCE = 240.0  # seconds; a fresh install compiles thousands of modules on its first start
_POLL = 0.25
_MAX_EXITS = 3


@dataclass
class Boot:
    """One start of one stack; holds what is needed to judge each program's progress."""

    layout: Layout
    ports: Ports
    credentials: Credentials
    settings: dict[str, str]
    supervisor: Supervisor
    progress: Progress
    optional: tuple[str, ...] = ()
    started: list[str] = field(default_factory=list)
    _exits: dict[str, int] = field(default_factory=dict)
    _pids: dict[str, int] = field(default_factory=dict)

    def run(self) -> None:
        """Start what does not run and return when everything is healthy; raise SourceUnavailableError naming what failed."""
        self._start(["postgres", "gateway", "watchdog"])
        self._await(["postgres"])
        create_databases(self.credentials, self.ports.postgres)
        self._start(["mlflow"])
        self._migrate()
        self._start([*AIRFLOW, *self.optional])
        self._await(["gateway", "watchdog", "mlflow", *AIRFLOW, *self.optional])

    def _start(self, names: Iterable[str]) -> None:
        known = self.supervisor.processes()
        for name in names:
            if known[name]["statename"] != "RUNNING":
                self.progress.state(name, "starting")
                self.supervisor.start(name)
                self.started.append(name)

    def _migrate(self) -> None:
        """Bring both schemas up to date: Airflow's by its own command beside ours, unless this version already did."""
        self.progress.state("migrations", "starting")
        stamp = self.layout.airflow_home / ".migrated"
        wanted = version("apache-airflow")
        current = stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted
        migrated = current and airflow_is_migrated(self.credentials, self.ports.postgres)
        process = None if migrated else self._start_airflow_migration()
        upgrade(self.settings["MODELOPS_DATABASE_URL"], self.credentials.passfile)
        if process:
            self._finish(process, self.layout.logs / "airflow-db-migrate.log")
            stamp.write_text(wanted, encoding="utf-8")
        self.progress.state("migrations", "done")

    def _start_airflow_migration(self) -> subprocess.Popen[bytes]:
        with (self.layout.logs / "airflow-db-migrate.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "airflow", "db", "migrate"],
                env=airflow_environment(self.layout, self.credentials, self.settings),
                cwd=self.layout.local,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _finish(self, process: subprocess.Popen[bytes], log: Path) -> None:
        try:
            code = process.wait(timeout=_PATIENCE)
        except BaseException:
            process.kill()
            process.wait()
            raise
        if code:
            self.progress.state("migrations", "failed")
            raise SourceUnavailableError(f"airflow db migrate ended with exit code {code}; the end of {log}:\n{tail(log)}")

    def _await(self, names: Iterable[str]) -> None:
        waiting = list(names)
        deadline = time.monotonic() + _PATIENCE
        while waiting:
            began = self._watch(waiting)
            for name in [name for name in waiting if probe(name, self.ports, self.credentials, began[name], self.layout)]:
                self.progress.state(name, "healthy")
                waiting.remove(name)
            if waiting and time.monotonic() > deadline:
                self._fail(waiting[0], f"was not healthy within {_PATIENCE:.0f} s")
            if waiting:
                time.sleep(_POLL)

    def _watch(self, names: list[str]) -> dict[str, float]:
        """Fail at once when a program gives up or keeps ending, instead of waiting for the deadline; return start times."""
        rows = self.supervisor.processes()
        for name, row in rows.items():
            if name not in names:
                continue
            if row["pid"] and row["pid"] != self._pids.get(name):
                self._exits[name] = self._exits.get(name, -1) + 1
                self._pids[name] = row["pid"]
            if row["statename"] == "FATAL" or self._exits.get(name, 0) >= _MAX_EXITS:
                self._fail(name, row["spawnerr"] or "keeps ending")
        return {name: float(row["start"]) for name, row in rows.items()}

    def _fail(self, name: str, why: str) -> None:
        self.progress.state(name, "failed")
        log = self.layout.logs / f"{name}.log"
        raise SourceUnavailableError(f"{name} {why}; the end of {log}:\n{tail(log)}")


def tail(path: Path, lines: int = 25) -> str:
    """The last lines of a log, or a word that there is none."""
    if not path.is_file():
        return "(no log was written)"
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 64_000))
        return "\n".join(file.read().decode("utf-8", errors="replace").splitlines()[-lines:])
