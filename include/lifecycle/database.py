"""The product's own database: engine, transactions and the per-model lock. Tables stand in tables.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from include.lifecycle.errors import SourceUnavailableError


@lru_cache(maxsize=4)
def engine_for(url: str, passfile: Path | None = None) -> Engine:
    """One engine per URL and process; small pool, stale connections are replaced. `passfile` is libpq's password file."""
    arguments: dict[str, object] = {"connect_timeout": 5} | ({"passfile": str(passfile)} if passfile else {})
    return create_engine(url, pool_size=6, max_overflow=0, pool_pre_ping=True, connect_args=arguments)


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction; a database that does not answer becomes SourceUnavailableError (retryable).

    So does a connection that broke (psycopg2 then knows it is closed already), and none that got free in time.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except (OperationalError, InterfaceError, PoolTimeoutError) as problem:
        where = engine.url.render_as_string(hide_password=True)
        said = str(getattr(problem, "orig", None) or problem).strip()
        raise SourceUnavailableError(f"database {where} did not answer: {said}") from problem


def lock_model(connection: Connection, model: str) -> None:
    """Hold the model's lock until this transaction ends: acts on one model never interleave (advisory lock)."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:model, 42))"), {"model": model})
