"""A real MariaDB server on loopback for the data tests, if Debian's `mariadbd` is installed; skipped with a reason elsewhere."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import URL

from tests.conftest import free_port

PASSWORD = "p@ss/word"


@dataclass(frozen=True)
class MariaDb:
    """The server's socket for `run` as root; `url` is a reader's over TCP."""

    root: Path
    port: int

    @property
    def url(self) -> URL:
        return URL.create("mysql", username="reader", password=PASSWORD, host="127.0.0.1", port=self.port, database="production")

    def run(self, statements: str) -> None:
        """Execute SQL as the administrator, in the database `production` once that exists."""
        command = ["mariadb", "--no-defaults", "-uroot", "-S", str(self.root / "server.sock")]
        subprocess.run(command, input=statements.encode(), check=True, capture_output=True, timeout=60)


@contextmanager
def mariadb_server() -> Iterator[MariaDb]:
    """Start a server in an empty folder, with a database and a reader; stop it after the block."""
    if not all(shutil.which(name) for name in ("mariadbd", "mariadb-install-db", "mariadb")):
        pytest.skip("mariadbd is not installed (Debian: apt-get install mariadb-server-core mariadb-client-core)")
    root = Path(tempfile.mkdtemp(prefix="modelops-mariadb-"))
    user = "nobody" if os.geteuid() == 0 else getpass.getuser()
    shutil.chown(root, user)
    data, port = root / "data", free_port()
    shared = ["--no-defaults", f"--user={user}", f"--datadir={data}"]
    install = ["mariadb-install-db", *shared, "--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run(install, check=True, capture_output=True, timeout=120)
    options = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={root / 'server.sock'}", f"--pid-file={root / 'pid'}"]
    options += ["--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0", "--default-time-zone=+03:00"]
    with (root / "server.log").open("wb") as log:
        process = subprocess.Popen(["mariadbd", *shared, *options], stdout=log, stderr=log)
    try:
        server = MariaDb(root, port)
        _wait(server, process)
        server.run(
            f"CREATE USER reader@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'; CREATE DATABASE production; "
            "GRANT ALL ON production.* TO reader@'127.0.0.1';"
        )
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
        shutil.rmtree(root, ignore_errors=True)


def _wait(server: MariaDb, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            return server.run("SELECT 1")
        except subprocess.CalledProcessError:
            if time.monotonic() > deadline or process.poll() is not None:
                raise
            time.sleep(0.2)
