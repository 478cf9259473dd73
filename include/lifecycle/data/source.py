"""A source of rows: what every kind of database can do for fetch and labels, and which implementation reads which address.

Errors are told apart into "did not answer" (SourceUnavailableError, retryable) and "answered and refused" (SourceQueryError).
"""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import URL

from include.lifecycle.data.dialects import Dialect, dialect_named
from include.lifecycle.data.sampling import bucket_of
from include.lifecycle.errors import SettingsError, SourceUnavailableError

if TYPE_CHECKING:
    import pyarrow

BATCH_ROWS = 16_000  # rows; of 1M x 32 rows smaller batches are slower, larger ones take more memory (benchmarks/fetch.py)
_PORT_TIMEOUT = 3.0  # seconds; connectorx alone needs 30 to notice a dead server


@dataclass(frozen=True)
class DbApi:
    """Any other database: `connect()` opens a DB-API 2.0 connection; `name` is shown in errors and holds no secret."""

    connect: Callable[[], Any]
    name: str
    dialect: str = "ansi"


Database = URL | DbApi
"""What somebody who knows Airflow's connections hands over."""


class RowStream(Protocol):
    """Rows as Arrow record batches; a batch's types may differ from `schema` where the database has no fixed types."""

    @property
    def schema(self) -> pyarrow.Schema:
        """Names and types as the first rows show them."""
        ...

    def __iter__(self) -> Iterator[pyarrow.RecordBatch]:
        """The batches, read while the caller asks."""
        ...


class Source(ABC):
    """One source; `where` stands in front of every error message. `str()` of it names the place without any secret."""

    where: str
    dialect: Dialect

    @abstractmethod
    def check(self) -> None:
        """Raise SourceUnavailableError within seconds when the source cannot be reached."""

    @abstractmethod
    def stream(self, query: str) -> AbstractContextManager[RowStream]:
        """The query's rows in bounded memory; errors also while the caller reads."""

    def columns(self, query: str) -> list[str]:
        """Names of the query's columns, without reading rows."""
        with self.stream(wrapped("*", query, "WHERE 1 = 0")) as rows:
            return list(rows.schema.names)

    def count(self, query: str) -> int:
        """How many rows the query returns."""
        return int(self._values(wrapped("count(*) AS n", query))[0][0])

    def rows_by_bucket(self, query: str, column: str) -> dict[int, int]:
        """Rows per hash bucket of `column`; where the database has no md5, every value is read once."""
        expression = self.dialect.bucket_sql(column)
        if expression is None:
            counted: Counter[int] = Counter()
            with self.stream(wrapped(self.dialect.quoted(column), query)) as rows:
                for batch in rows:
                    counted.update(bucket_of(str(value)) for value in batch.column(0).to_pylist())
            return dict(counted)
        statement = wrapped(f"{expression} AS bucket, count(*) AS n", query, "GROUP BY 1")
        return {int(bucket): int(rows) for bucket, rows in self._values(statement)}

    def _values(self, statement: str) -> list[tuple[Any, ...]]:
        with self.stream(statement) as rows:
            return [tuple(row.values()) for batch in rows for row in batch.to_pylist()]


def open_source(database: Database, where: str) -> Source:
    """The source behind an address; nothing is connected yet. SQLite and MySQL/MariaDB by URL, others by their DB-API.

    Raises:
        SettingsError: no implementation reads this kind of URL.
    """
    from include.lifecycle.data.dbapi_source import DbApiSource, SqliteSource
    from include.lifecycle.data.mysql_source import MySqlSource
    from include.lifecycle.data.postgres_source import PostgresSource

    if isinstance(database, DbApi):
        return DbApiSource(where, dialect_named(database.dialect), database)
    kind = database.get_backend_name()
    if kind == "sqlite":
        return SqliteSource(where, dialect_named(kind), database)
    if kind in ("mysql", "mariadb"):
        return MySqlSource(database, where)
    if kind == "postgresql":
        return PostgresSource(database, where)
    raise SettingsError(
        f"{where}: got a URL of {kind!r}; allowed: postgresql, mysql, mariadb, sqlite (others by their Airflow hook)"
    )


def wrapped(selected: str, query: str, rest: str = "") -> str:
    """`SELECT selected FROM (query) rest`. The line breaks keep a closing `-- comment` of the query to itself."""
    return f"SELECT {selected} FROM (\n{query}\n) fetched {rest}"  # noqa: S608 - the model's own SQL, values rendered by type


def check_port(host: str, port: int, shown: str) -> None:
    """Connect and hang up; raise SourceUnavailableError within three seconds when nobody listens."""
    try:
        socket.create_connection((host, port), timeout=_PORT_TIMEOUT).close()
    except OSError as problem:
        raise SourceUnavailableError(f"{shown} does not answer at {host}:{port}: {problem}") from problem
