"""Memory of a fetch does not grow with the table: 200,000 rows of 32 columns need hardly more than 20,000."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import URL, make_url

from include.settings import PROJECT_ROOT
from tests.conftest import PostgresServer
from tests.integration.trips_source import run_sql

pytestmark = pytest.mark.integration
ROWS, FEW, COLUMNS = 200_000, 20_000, 32
ALLOWED_GROWTH = 40.0  # MB; the table is 51 MB as plain numbers, and several times that as Python objects


def peak(url: URL, rows: int) -> float:
    command = [sys.executable, str(Path(__file__).with_name("fetch_memory.py")), url.render_as_string(hide_password=False)]
    environment = os.environ | {"PYTHONPATH": str(PROJECT_ROOT)}
    query = f"SELECT * FROM big WHERE c0 < {rows} ORDER BY c0"
    done = subprocess.run([*command, query], capture_output=True, text=True, check=True, env=environment, timeout=120)
    found, megabytes = done.stdout.split()
    assert int(found) == rows
    return float(megabytes)


def test_postgresql(postgres: PostgresServer):
    url = make_url(postgres.url(postgres.create_database(), with_password=True))
    columns = ", ".join(f"random() AS c{number}" for number in range(1, COLUMNS))
    run_sql(
        postgres, url.database, f"CREATE TABLE big AS SELECT i::float8 AS c0, {columns} FROM generate_series(0, {ROWS - 1}) AS i"
    )
    assert peak(url, ROWS) < peak(url, FEW) + ALLOWED_GROWTH


def test_sqlite_and_so_any_cursor_that_does_not_buffer(tmp_path: Path):
    url = URL.create("sqlite", database=str(tmp_path / "big.db"))
    with sqlite3.connect(tmp_path / "big.db") as connection:
        connection.execute(f"CREATE TABLE big (c0 integer primary key, {', '.join(f'c{n} real' for n in range(1, COLUMNS))})")
        rows = ((i, *(i / (n + 1) for n in range(1, COLUMNS))) for i in range(ROWS))
        connection.executemany(f"INSERT INTO big VALUES ({', '.join('?' * COLUMNS)})", rows)
    assert peak(url, ROWS) < peak(url, FEW) + ALLOWED_GROWTH
