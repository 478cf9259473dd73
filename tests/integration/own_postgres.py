"""A PostgreSQL of a test's own, to be stopped and started again while rollouts run on it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg2

from include.lifecycle.migrations import upgrade
from include.stack import postgres
from tests.conftest import free_port


@dataclass
class OwnPostgres:
    """Folder and port of one server; `url` is its migrated database."""

    root: Path
    port: int
    process: subprocess.Popen | None = None

    @property
    def url(self):
        return f"postgresql+psycopg2://{postgres.SUPERUSER}@127.0.0.1:{self.port}/postgres"

    @property
    def environment(self):
        return {"MODELOPS_DATABASE_URL": self.url, "MODELOPS_PASSFILE": str(self.root / "pgpass")}

    def start(self):
        command = [*postgres.argv(self.root / "pgdata", self.port), "-c", "fsync=off"]
        with (self.root / "postgres.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, user=postgres.system_user(), cwd=self.root)
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg2.connect(
                    host="127.0.0.1",
                    port=self.port,
                    dbname="postgres",
                    user=postgres.SUPERUSER,
                    passfile=str(self.root / "pgpass"),
                ).close()
                return
            except psycopg2.OperationalError:
                assert time.monotonic() < deadline, (self.root / "postgres.log").read_text()
                time.sleep(0.05)

    def stop(self):
        """At once, as a crash: running transactions are lost."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(timeout=20)


@contextmanager
def own_postgres():
    """A running server with our tables, gone afterwards."""
    server = OwnPostgres(Path(tempfile.mkdtemp(prefix="modelops-pg-")), free_port())
    password = uuid4().hex
    postgres.initialise(server.root / "pgdata", password)
    passfile = server.root / "pgpass"
    passfile.write_text(f"127.0.0.1:{server.port}:*:{postgres.SUPERUSER}:{password}\n")
    passfile.chmod(0o600)
    try:
        server.start()
        upgrade(server.url, passfile)
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.stop()
        shutil.rmtree(server.root, ignore_errors=True)
