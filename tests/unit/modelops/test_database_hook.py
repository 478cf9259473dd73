"""Airflow connections as what the lifecycle reads by: URLs, a real DbApiHook, S3 accounts; and each one that cannot be."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import URL

from include.lifecycle.data.s3 import S3Account
from include.lifecycle.data.source import BATCH_ROWS, DbApi, open_source
from include.lifecycle.errors import SettingsError, SourceQueryError
from modelops.hooks.database import data_access, s3_account, source_url
from tests.unit.lifecycle.training.spec_for_tests import make_spec


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch):
    def set_connection(name: str, value: str | dict[str, object]) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", value if isinstance(value, str) else json.dumps(value))

    return set_connection


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("postgres://ann:s%40cret@db:5433/shop", "postgresql+psycopg2://ann:s%40cret@db:5433/shop"),
        ("mysql://ann:s%40cret@db:3307/shop", "mysql://ann:s%40cret@db:3307/shop"),
        ("sqlite:////data/trips.db", "sqlite:////data/trips.db"),
        ("sqlite://%2Fdata%2Ftrips.db", "sqlite:////data/trips.db"),
        ({"conn_type": "sqlite", "host": "/data/trips.db"}, "sqlite:////data/trips.db"),
    ],
)
def test_databases_become_urls(connect, uri, expected):
    connect("shop", uri)
    found = source_url("shop")
    assert isinstance(found, URL)
    assert found.render_as_string(hide_password=False) == expected


def test_any_other_database_is_read_by_its_hook(connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A real DbApiHook: SQLite's, behind a connection type of another name."""
    from airflow.providers.sqlite.hooks.sqlite import SqliteHook
    from airflow.sdk.definitions.connection import Connection

    path = tmp_path / "trips.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE trips (i integer)")
        connection.executemany("INSERT INTO trips VALUES (?)", ((i,) for i in range(120_000)))
    connect("lake", {"conn_type": "duckdb_like", "host": str(path)})
    monkeypatch.setenv("AIRFLOW_CONN_BEHIND", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    monkeypatch.setattr(Connection, "get_hook", lambda _: SqliteHook(sqlite_conn_id="behind"))
    found = source_url("lake")
    assert isinstance(found, DbApi)
    assert found.name == "duckdb_like lake"
    source = open_source(found, "here")
    source.check()
    assert source.count("SELECT * FROM trips") == 120_000
    with source.stream("SELECT i, i * 0.5 AS half FROM trips ORDER BY i") as rows:
        sizes = [batch.num_rows for batch in rows]
    assert sum(sizes) == 120_000
    assert max(sizes) == BATCH_ROWS < 60_000
    with pytest.raises(SourceQueryError, match="here: database duckdb_like lake refused the query: no such table: nowhere"):
        source.count("SELECT * FROM nowhere")


def test_connections_that_are_no_database_are_named(connect):
    connect("web", "http://example.org")
    with pytest.raises(SettingsError, match="connection 'web' of type 'http'"):
        source_url("web")
    connect("odd", {"conn_type": "nothing_known"})
    with pytest.raises(SettingsError, match="'odd' of type 'nothing_known' cannot be read from: its provider is not installed"):
        source_url("odd")


def test_a_models_access(connect):
    connect("production_db", "mysql://ann:secret@db/shop")
    connect("lake", {"conn_type": "aws", "login": "id", "password": "key", "extra": {"endpoint_url": "http://minio:9000"}})
    assert isinstance(data_access(make_spec()), URL)
    files = {"connection": None, "query": None, "dataset": {"path": "s3://lake/trips", "format": "parquet"}}
    assert data_access(make_spec(data=files)) is None
    found = data_access(make_spec(data=files | {"connection": "lake"}))
    assert found == S3Account(endpoint="http://minio:9000", access_key="id", secret_key="key")
    assert "key='" not in repr(found).replace("access_key='id'", "")
    with pytest.raises(SettingsError, match="'production_db' has type 'mysql'; files on S3 need one of type aws"):
        s3_account("production_db")
