"""Roles, databases and rights of the stack's PostgreSQL, and our own tables; everything here may be run any number of times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from include.lifecycle.errors import SourceUnavailableError
from include.stack.credentials import ROLES, Credentials
from include.stack.postgres import SUPERUSER

if TYPE_CHECKING:
    from psycopg2.extensions import connection as PgConnection  # noqa: N812

DATABASES = ("airflow", "mlflow", "modelops", "optuna", "production")
READER = "production_reader"


@contextmanager
def connected(credentials: Credentials, port: int, database: str = "postgres") -> Iterator[PgConnection]:
    """A superuser's connection in autocommit; raise SourceUnavailableError when the server does not answer within 3 s."""
    import psycopg2

    password = credentials.password(SUPERUSER)
    try:
        connection = psycopg2.connect(
            host="127.0.0.1", port=port, dbname=database, user=SUPERUSER, password=password, connect_timeout=3
        )
    except psycopg2.OperationalError as problem:
        raise SourceUnavailableError(f"PostgreSQL on 127.0.0.1:{port} did not answer: {str(problem).strip()}") from problem
    connection.autocommit = True
    try:
        yield connection
    finally:
        connection.close()


def answers(credentials: Credentials, port: int) -> bool:
    """Whether the server takes connections and queries."""
    try:
        with connected(credentials, port) as connection:
            return bool(_one(connection, "SELECT 1") == 1)
    except SourceUnavailableError:
        return False


def create_databases(credentials: Credentials, port: int) -> None:
    """Create a role per database, the read-only role of `production`, and the databases that are missing."""
    with connected(credentials, port) as connection:
        for role in ROLES:
            if role != SUPERUSER:
                _ensure_role(connection, role, credentials.password(role))
        for database in DATABASES:
            _ensure_database(connection, database)
    with connected(credentials, port, "production") as connection:
        _grant_reading(connection)


def airflow_is_migrated(credentials: Credentials, port: int) -> bool:
    """Whether Airflow's database holds any schema at all."""
    with connected(credentials, port, "airflow") as connection:
        return _one(connection, "SELECT to_regclass('public.alembic_version') IS NOT NULL") is True


def _ensure_role(connection: PgConnection, role: str, password: str) -> None:
    """Create the role or renew its password; it is hashed on this side, so that no server log can show it."""
    from psycopg2.extensions import encrypt_password
    from psycopg2.sql import SQL, Identifier, Literal

    exists = _one(connection, "SELECT count(*) FROM pg_roles WHERE rolname = %s", role)
    verb = SQL("ALTER ROLE {} LOGIN PASSWORD {}" if exists else "CREATE ROLE {} LOGIN PASSWORD {}")
    hashed = encrypt_password(password, role, scope=connection, algorithm="scram-sha-256")
    with connection.cursor() as cursor:
        cursor.execute(verb.format(Identifier(role), Literal(hashed)))


def _ensure_database(connection: PgConnection, database: str) -> None:
    from psycopg2.sql import SQL, Identifier

    if not _one(connection, "SELECT count(*) FROM pg_database WHERE datname = %s", database):
        with connection.cursor() as cursor:
            cursor.execute(SQL("CREATE DATABASE {0} OWNER {0}").format(Identifier(database)))
            cursor.execute(SQL("REVOKE CONNECT ON DATABASE {0} FROM PUBLIC").format(Identifier(database)))


def _grant_reading(connection: PgConnection) -> None:
    """Let the reader read everything of `production`, also what is created later, and write nothing."""
    with connection.cursor() as cursor:
        for statement in (
            f"GRANT CONNECT ON DATABASE production TO {READER}",
            f"GRANT USAGE ON SCHEMA public TO {READER}",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {READER}",
            f"ALTER DEFAULT PRIVILEGES FOR ROLE production IN SCHEMA public GRANT SELECT ON TABLES TO {READER}",
            f"ALTER ROLE {READER} SET default_transaction_read_only = on",
        ):
            cursor.execute(statement)


def _one(connection: PgConnection, statement: str, *values: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        row = cursor.fetchone()
    return row[0] if row else None
