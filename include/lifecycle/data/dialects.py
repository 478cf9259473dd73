"""How the SQL around a model's query is spelled in each database: literals of event time, quoted names, hash buckets.

The model's own SQL is in its database's language already; what is rendered here is only the binds and what fetch wraps around.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Dialect as Literals
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine.default import DefaultDialect


@dataclass(frozen=True)
class Dialect:
    """One SQL language. `bucket` is None where the hash sample is taken while rows are read, by the same rule in Python.

    `timestamp` renders an event time; `text_times`: event times may be text, and times without a zone are read as UTC.
    """

    name: str
    literals: Literals
    timestamp: Callable[[datetime], str]
    quote: str = '"'
    bucket: str | None = None
    text_times: bool = True

    def quoted(self, column: str) -> str:
        """A column name as an SQL identifier."""
        return self.quote + column.replace(self.quote, self.quote * 2) + self.quote

    def bucket_sql(self, column: str) -> str | None:
        """Expression of `sampling.bucket_of` over a column; None where the database has none."""
        return None if self.bucket is None else self.bucket.format(self.quoted(column))


def _plain(moment: datetime) -> str:
    """UTC without a zone, microseconds only where there are some: compares well with the texts of SQLite."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")


# Named parameters leave `%` alone; a driver's default style would double it.
POSTGRESQL = Dialect(
    name="postgresql",
    literals=postgresql.dialect(paramstyle="named"),  # type: ignore[no-untyped-call]
    # The type stands in front, so that `:window_end - interval '1 day'` means what it says.
    timestamp=lambda moment: f"TIMESTAMP WITH TIME ZONE '{moment.astimezone(UTC).isoformat(sep=' ')}'",
    bucket="('x' || substr(md5({}::text), 1, 4))::bit(16)::int",
    text_times=False,
)
MYSQL = Dialect(
    name="mysql",
    literals=mysql.dialect(paramstyle="named"),
    timestamp=lambda moment: f"TIMESTAMP'{_plain(moment)}'",
    quote="`",
    bucket="CAST(CONV(LEFT(MD5(CAST({} AS CHAR)), 4), 16, 10) AS UNSIGNED)",
)
SQLITE = Dialect(
    name="sqlite",
    literals=sqlite.dialect(paramstyle="named"),
    timestamp=lambda moment: f"'{_plain(moment)}'",
)
DUCKDB = Dialect(
    name="duckdb",
    literals=DefaultDialect(paramstyle="named"),
    timestamp=lambda moment: f"TIMESTAMPTZ '{_plain(moment)}+00'",
    bucket="CAST('0x' || substr(md5(CAST({} AS VARCHAR)), 1, 4) AS INTEGER)",
)
ANSI = Dialect(
    name="ansi",
    literals=DefaultDialect(paramstyle="named"),
    timestamp=lambda moment: f"TIMESTAMP '{_plain(moment)}'",
)
MSSQL = Dialect(
    name="mssql",
    literals=DefaultDialect(paramstyle="named"),
    timestamp=lambda moment: f"CAST('{moment.astimezone(UTC).replace(tzinfo=None).isoformat()}' AS datetime2)",
)
_BY_NAME = {dialect.name: dialect for dialect in (POSTGRESQL, MYSQL, SQLITE, DUCKDB, MSSQL)}
_BY_NAME |= {"mariadb": MYSQL, "postgres": POSTGRESQL}


def dialect_named(name: str) -> Dialect:
    """The dialect of SQLAlchemy's or Airflow's name; standard SQL (timestamps as naive UTC) for every other one."""
    return _BY_NAME.get(name, ANSI)
