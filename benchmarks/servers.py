"""Servers that a claim needs, started on free loopback ports and ended by process id: PostgreSQL and MLflow."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg2

from benchmarks.harness import child_environment
from include.lifecycle.rollout.targets.port_probe import is_free
from include.stack import postgres as embedded

_PATIENCE = 120.0  # seconds


@dataclass(frozen=True)
class Postgres:
    """A server of the benchmark's own; `passfile` is libpq's."""

    port: int
    password: str
    passfile: Path

    def url(self, database: str, *, with_password: bool = False) -> str:
        """SQLAlchemy URL of a database."""
        secret = f":{self.password}" if with_password else ""
        return f"postgresql+psycopg2://{embedded.SUPERUSER}{secret}@127.0.0.1:{self.port}/{database}"

    def run(self, database: str, *statements: str) -> None:
        """Execute statements, each committed at once."""
        connection = psycopg2.connect(
            host="127.0.0.1", port=self.port, dbname=database, user=embedded.SUPERUSER, password=self.password
        )
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
        finally:
            connection.close()


@contextmanager
def postgres(folder: Path, *databases: str) -> Iterator[Postgres]:
    """A PostgreSQL in `folder/pg` with these databases; RuntimeError with its log's end when it does not start."""
    root, password, port = folder / f"pg-{uuid4().hex[:6]}", uuid4().hex, free_port()
    root.mkdir(parents=True)
    embedded.initialise(root / "data", password)
    passfile = root / "pgpass"
    passfile.write_text(f"127.0.0.1:{port}:*:{embedded.SUPERUSER}:{password}\n", encoding="utf-8")
    passfile.chmod(0o600)
    command = [*embedded.argv(root / "data", port), "-c", "max_wal_size=4GB"]
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, user=embedded.system_user(), cwd=root / "data")
    server = Postgres(port, password, passfile)
    try:
        await_process(process, root / "log", lambda: server.run("postgres", "SELECT 1"), psycopg2.OperationalError)
        for database in databases:
            server.run("postgres", f'CREATE DATABASE "{database}"')
        yield server
    finally:
        end_process(process, signal.SIGINT)
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def mlflow(folder: Path) -> Iterator[str]:
    """An MLflow server with one worker and SQLite behind it; yields its URL."""
    root, port = folder / f"mlflow-{uuid4().hex[:6]}", free_port()
    root.mkdir(parents=True)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{root}/mlflow.db", "--serve-artifacts"]
    command += ["--artifacts-destination", str(root / "files")]
    environment = child_environment({"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"})
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=root, env=environment, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        await_process(process, root / "log", lambda: urllib.request.urlopen(f"{url}/health", timeout=2).close(), OSError)
        yield url
    finally:
        end_process(process, signal.SIGTERM)
        shutil.rmtree(root, ignore_errors=True)


def await_process(
    process: subprocess.Popen[bytes], log: Path, ask: Callable[[], None], silent: type[Exception] = OSError
) -> None:
    """Wait until `ask` goes through; RuntimeError with the end of the log when the process ends or is silent for too long."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            ask()
        except (silent, urllib.error.URLError) as problem:
            if time.monotonic() > deadline or process.poll() is not None:
                said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise RuntimeError(f"{log.parent.name} did not come up: {problem}\n{said}") from problem
            time.sleep(0.2)
        else:
            return


def end_process(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> None:
    """End the process that was started here, and its own children where it leads a session and does not end by itself."""
    leads = os.getpgid(process.pid) == process.pid if process.poll() is None else False
    if process.poll() is None:
        process.send_signal(how)
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        if leads:
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    import random

    while True:
        port = random.randrange(20_000, 32_000)
        if is_free(port):
            return port
