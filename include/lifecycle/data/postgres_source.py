"""PostgreSQL as a source: counts and column names by psycopg2, rows as an Arrow stream by connectorx. It cannot write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import URL, Connection, NullPool, create_engine
from sqlalchemy.exc import DBAPIError, OperationalError

from include.lifecycle.data.connectorx_stream import connectorx_stream
from include.lifecycle.data.dialects import POSTGRESQL
from include.lifecycle.data.source import Source, check_port, wrapped
from include.lifecycle.errors import SourceQueryError, SourceUnavailableError

if TYPE_CHECKING:
    import pyarrow

_SESSION = ("SET timezone TO 'UTC'", "SET default_transaction_read_only TO on")
# How connectorx prints PostgreSQL's errors; classes: connection, rollback to try again, resources, operator intervention
_SQLSTATE, _MESSAGE = re.compile(r"SqlState\(E?(\w{5})\)"), re.compile(r'message: "([^"]*)"')
_LOST_CLASSES = ("08", "40", "53", "57")
_LOST_WORDS = re.compile(r"kind: (Io|Closed|Connect|Timeout)|connection|timed out", re.IGNORECASE)
_REFUSALS = ("authentication failed", "does not exist", "no pg_hba.conf entry", "permission denied", "not permitted")


@dataclass(frozen=True)
class PostgresSource(Source):
    """One PostgreSQL database. The password stays inside `url`."""

    url: URL
    where: str
    dialect = POSTGRESQL

    def check(self) -> None:
        """Somebody listens at the port."""
        check_port(self.url.host or "127.0.0.1", self.url.port or 5432, f"{self.where}: database {self}")

    def columns(self, query: str) -> list[str]:
        """Names of the query's columns, without reading rows."""
        with self._connect() as connection:
            return list(connection.exec_driver_sql(wrapped("*", query, "LIMIT 0")).keys())

    def count(self, query: str) -> int:
        """How many rows the query returns."""
        with self._connect() as connection:
            return int(connection.exec_driver_sql(wrapped("count(*)", query)).scalar_one())

    def rows_by_bucket(self, query: str, column: str) -> dict[int, int]:
        """Rows per hash bucket of `column`."""
        statement = wrapped(f"{self.dialect.bucket_sql(column)} AS bucket, count(*)", query, "GROUP BY 1")
        with self._connect() as connection:
            return {int(bucket): int(rows) for bucket, rows in connection.exec_driver_sql(statement)}

    def stream(self, query: str) -> AbstractContextManager[pyarrow.RecordBatchReader]:
        """The query's rows as Arrow record batches in bounded memory; errors also while the caller reads."""
        return connectorx_stream(self.url.set(drivername="postgresql"), query, _SESSION, self._broken_off)

    def _broken_off(self, said: str) -> SourceQueryError | SourceUnavailableError:
        code, message = _SQLSTATE.search(said), _MESSAGE.search(said)
        lost = code[1].startswith(_LOST_CLASSES) if code else _LOST_WORDS.search(said) is not None
        shown = f"{self.where}: database {self} broke off while rows were read: {message[1] if message else said}"
        return SourceUnavailableError(shown) if lost else SourceQueryError(shown)

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        options = {"connect_timeout": 5, "options": "-c timezone=UTC -c default_transaction_read_only=on"}
        engine = create_engine(self.url.set(drivername="postgresql+psycopg2"), poolclass=NullPool, connect_args=options)
        try:
            with engine.connect() as connection:
                # `exec_driver_sql` without parameters leaves `%` in the query alone
                yield connection.execution_options(no_parameters=True)
        except DBAPIError as problem:
            raise self._translate(problem) from None

    def _translate(self, problem: DBAPIError) -> SourceQueryError | SourceUnavailableError:
        lines = [line.strip() for line in str(problem.orig).splitlines() if line.strip()]
        said = "; ".join([*lines[:1], *(line for line in lines[1:] if line.startswith("HINT"))])
        if isinstance(problem, OperationalError) and not any(mark in said for mark in _REFUSALS):
            return SourceUnavailableError(f"{self.where}: database {self} did not answer: {said}")
        return SourceQueryError(f"{self.where}: database {self} refused the query: {said}")

    def __str__(self) -> str:
        return f"{self.url.host}:{self.url.port or 5432}/{self.url.database}"
