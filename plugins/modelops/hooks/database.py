"""Airflow's database connections as SQLAlchemy URLs, which is what the lifecycle fetches by."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseHook
from sqlalchemy import URL

from include.lifecycle.errors import SettingsError

_DRIVERS = {"postgres": "postgresql+psycopg2", "postgresql": "postgresql+psycopg2"}


def source_url(conn_id: str) -> URL:
    """URL of connection `conn_id`; raise SettingsError for a connection type that cannot be fetched from yet."""
    connection: Any = BaseHook.get_connection(conn_id)
    driver = _DRIVERS.get(connection.conn_type)
    if driver is None:
        allowed = ", ".join(sorted(_DRIVERS))
        raise SettingsError(f"connection {conn_id!r} has type {connection.conn_type!r}; allowed: {allowed}")
    return URL.create(
        driver,
        username=connection.login,
        password=connection.password,
        host=connection.host,
        port=connection.port,
        database=connection.schema,
    )
