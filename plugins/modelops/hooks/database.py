"""Airflow's connections as what the lifecycle reads data by: a database's URL, any other database's DB-API, an S3 account."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseHook
from sqlalchemy import URL

from include.lifecycle.data.s3 import S3Account
from include.lifecycle.data.source import Database, DbApi
from include.lifecycle.data.training_source import Access
from include.lifecycle.errors import SettingsError
from include.lifecycle.spec import ModelSpec

_DRIVERS = {
    "postgres": "postgresql+psycopg2",
    "postgresql": "postgresql+psycopg2",
    "mysql": "mysql",
    "mariadb": "mysql",
}
_S3 = ("aws", "s3")


def data_access(spec: ModelSpec) -> Access:
    """What the model's rows and outcomes are read by; None for a dataset that needs no connection.

    Raises:
        SettingsError: the connection's type cannot be read from.
    """
    if spec.data.connection is None:
        return None
    return source_url(spec.data.connection) if spec.data.dataset is None else s3_account(spec.data.connection)


def source_url(conn_id: str) -> Database:
    """Connection `conn_id` as a URL (PostgreSQL, MySQL, MariaDB, SQLite), else as the DB-API connection of its hook.

    Raises:
        SettingsError: the connection is of no database, or its provider is not installed.
    """
    connection: Any = BaseHook.get_connection(conn_id)
    if connection.conn_type == "sqlite":
        return URL.create("sqlite", database=connection.host or connection.schema)
    if (driver := _DRIVERS.get(connection.conn_type)) is None:
        return _by_hook(connection, conn_id)
    return URL.create(
        driver,
        username=connection.login,
        password=connection.password,
        host=connection.host,
        port=connection.port,
        database=connection.schema,
    )


def s3_account(conn_id: str) -> S3Account:
    """The S3 account of connection `conn_id` (type aws): login, password; extra endpoint_url, region_name, aws_session_token.

    Raises:
        SettingsError: the connection has another type.
    """
    connection: Any = BaseHook.get_connection(conn_id)
    if connection.conn_type not in _S3:
        raise SettingsError(f"connection {conn_id!r} has type {connection.conn_type!r}; files on S3 need one of type aws")
    extra = connection.extra_dejson
    return S3Account(
        endpoint=extra.get("endpoint_url"),
        region=extra.get("region_name"),
        access_key=connection.login or None,
        secret_key=connection.password or None,
        token=extra.get("aws_session_token"),
    )


def _by_hook(connection: Any, conn_id: str) -> DbApi:
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.sdk.exceptions import AirflowException

    told = f"connection {conn_id!r} of type {connection.conn_type!r}"
    try:
        hook = connection.get_hook()
    except (AirflowException, ImportError) as problem:
        raise SettingsError(f"{told} cannot be read from: its provider is not installed ({problem})") from problem
    if not isinstance(hook, DbApiHook):
        raise SettingsError(f"{told} is of no SQL database; allowed: postgres, mysql, sqlite, or any with a DbApiHook")
    return DbApi(hook.get_conn, f"{connection.conn_type} {conn_id}", _dialect(hook, connection.conn_type))


def _dialect(hook: Any, conn_type: str) -> str:
    """SQLAlchemy's name of the dialect where the hook tells it."""
    try:
        return str(hook.dialect_name)
    except (AttributeError, NotImplementedError, ValueError):
        return str(conn_type)
