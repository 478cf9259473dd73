"""Fixtures for all tests: a real PostgreSQL of the session, a migrated database per test, a Runtime on it.

`postgres` is started once per session on a free loopback port; `database_url` gives a fresh, migrated database; `rt` a Runtime
whose clock stands at 2013-08-01 (`make_runtime(clock=...)` builds others).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from hypothesis import HealthCheck, settings

from include.lifecycle.clock import Clock, FixedClock
from include.lifecycle.database import engine_for
from include.lifecycle.migrations import upgrade
from include.lifecycle.runtime import Runtime, build_runtime
from include.settings import load_settings
from include.stack import postgres as local_postgres

NOW = datetime(2013, 8, 1, tzinfo=UTC)

# a busy machine is no failure: neither a slow example nor slowly drawn ones
settings.register_profile("modelops", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("modelops")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class PostgresServer:
    """Address of the session's server; `password` is the superuser's, also in `passfile`."""

    port: int
    password: str
    passfile: Path

    def url(self, database: str, *, with_password: bool = False) -> str:
        secret = f":{self.password}" if with_password else ""
        return f"postgresql+psycopg2://{local_postgres.SUPERUSER}{secret}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres"):
        return psycopg2.connect(
            host="127.0.0.1",
            port=self.port,
            dbname=database,
            user=local_postgres.SUPERUSER,
            password=self.password,
            connect_timeout=3,
        )

    def create_database(self, template: str = "template1") -> str:
        """A new database, empty or a copy of `template`, which nobody may be connected to; its name."""
        name = f"test_{uuid4().hex[:12]}"
        connection = self.connect()
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        connection.close()
        return name


def pytest_configure() -> None:
    """Hear Ctrl-C in what tests start: a shell's background job, as of a build server, hands on that it is ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL server, ended after the session."""
    root = Path(tempfile.mkdtemp(prefix="modelops-pg-"))
    password, port = uuid4().hex, free_port()
    local_postgres.initialise(root / "pgdata", password)
    passfile = root / "pgpass"
    passfile.write_text(f"127.0.0.1:{port}:*:{local_postgres.SUPERUSER}:{password}\n")
    passfile.chmod(0o600)
    log = (root / "postgres.log").open("wb")
    command = [*local_postgres.argv(root / "pgdata", port), "-c", "fsync=off"]
    process = subprocess.Popen(command, stdout=log, stderr=log, user=local_postgres.system_user(), cwd=root)
    server = PostgresServer(port, password, passfile)
    deadline = time.monotonic() + 30
    while True:
        try:
            server.connect().close()
            break
        except psycopg2.OperationalError:
            if time.monotonic() > deadline or process.poll() is not None:
                raise
            time.sleep(0.1)
    yield server
    process.send_signal(signal.SIGQUIT)  # at once: nobody reads its files again
    process.wait(timeout=60)
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated(postgres: PostgresServer) -> str:
    """Name of a database with all our tables and nothing in them: to be copied, which is much faster than to migrate."""
    url = postgres.url(name := postgres.create_database())
    upgrade(url, postgres.passfile)
    engine_for(url, postgres.passfile).dispose()
    return name


@pytest.fixture
def database_url(postgres: PostgresServer, migrated: str) -> str:
    """URL (without password) of a fresh database with all our tables."""
    return postgres.url(postgres.create_database(migrated))


@pytest.fixture
def make_runtime(postgres: PostgresServer, database_url: str, tmp_path: Path) -> Iterator[Callable[..., Runtime]]:
    """Build Runtimes on this test's database: `make_runtime(clock=..., **environment)`."""

    def build(clock: Clock | None = None, **environment: str) -> Runtime:
        values = {
            "MODELOPS_LOCAL": str(tmp_path / "local"),
            "MODELOPS_DATABASE_URL": database_url,
            "MODELOPS_OPTUNA_URL": postgres.url(database_url.rpartition("/")[2].replace("test_", "test_optuna_")),
            "MODELOPS_PASSFILE": str(postgres.passfile),
        }
        return build_runtime(load_settings(values | environment), clock or FixedClock(NOW))

    yield build
    engine_for(database_url, postgres.passfile).dispose()


@pytest.fixture
def rt(make_runtime: Callable[..., Runtime]) -> Runtime:
    """A Runtime whose clock stands at NOW."""
    return make_runtime()


os.environ.setdefault("MODELOPS_LOCAL", tempfile.mkdtemp(prefix="modelops-test-"))
