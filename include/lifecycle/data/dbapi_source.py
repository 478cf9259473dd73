"""Any database by its DB-API 2.0 connection, in chunks of `fetchmany`; SQLite is one (connectorx fails on its loose types).

Python values become Arrow batch by batch; fetch casts each batch to the training schema, so a column may be null or whole in
one chunk and not in the next.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from include.lifecycle.data.dialects import Dialect
from include.lifecycle.data.source import BATCH_ROWS, Source
from include.lifecycle.errors import DataInvalidError, SourceQueryError, SourceUnavailableError

if TYPE_CHECKING:
    import pyarrow

# OperationalError covers both "no answer" and, with some drivers, a wrong query.
_REFUSED = re.compile(r"no such|syntax|ambiguous|denied|permission|readonly|does not exist|unknown column", re.IGNORECASE)
_UNREACHED = {"OperationalError", "InterfaceError"}


@dataclass(frozen=True)
class ChunkedRows:
    """Rows that have been read so far only as far as the first chunk."""

    schema: pyarrow.Schema
    batches: Iterator[pyarrow.RecordBatch]

    def __iter__(self) -> Iterator[pyarrow.RecordBatch]:
        """The batches, the first one again first."""
        return self.batches


@dataclass(frozen=True)
class DbApiSource(Source):
    """A database that answers through a cursor. Opening the connection is the caller's affair (an Airflow hook's `get_conn`)."""

    where: str
    dialect: Dialect
    database: Any

    def check(self) -> None:
        """Open a connection and close it."""
        with self._connection():
            return

    @contextmanager
    def stream(self, query: str) -> Iterator[ChunkedRows]:
        """The query's rows, BATCH_ROWS at a time; memory holds one chunk if the driver does not buffer more."""
        with self._connection() as connection, closing(connection.cursor()) as cursor:
            cursor.execute(query)
            names = [str(column[0]) for column in cursor.description]
            first = self._batch(names, cursor.fetchmany(BATCH_ROWS))
            yield ChunkedRows(first.schema, self._batches(cursor, names, first))

    def _batches(self, cursor: Any, names: list[str], first: pyarrow.RecordBatch) -> Iterator[pyarrow.RecordBatch]:
        batch = first
        while batch.num_rows:
            yield batch
            batch = self._batch(names, cursor.fetchmany(BATCH_ROWS))

    def _batch(self, names: list[str], rows: Sequence[Sequence[Any]]) -> pyarrow.RecordBatch:
        import pyarrow as pa

        columns = [self._column(name, [row[place] for row in rows]) for place, name in enumerate(names)]
        return pa.RecordBatch.from_arrays(columns, names=names)

    def _column(self, name: str, values: list[Any]) -> pyarrow.Array:
        import pyarrow as pa

        try:
            return pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            kinds = sorted({type(value).__name__ for value in values if value is not None})
            if len(kinds) == 1:  # a driver's own type, such as UUID
                return pa.array([None if value is None else str(value) for value in values])
            raise DataInvalidError(f"{self.where}: column {name!r} mixes {' and '.join(kinds)}; cast it in the query") from None

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        try:
            with closing(self._connect()) as connection:
                yield connection
        except Exception as problem:
            if not _is_database_error(problem):
                raise
            raise self._translate(problem) from None

    def _connect(self) -> Any:
        return self.database.connect()

    def _translate(self, problem: Exception) -> SourceQueryError | SourceUnavailableError:
        said = " ".join(str(problem).split())
        if _UNREACHED & _ancestors(problem) and not _REFUSED.search(said):
            return SourceUnavailableError(f"{self.where}: database {self} did not answer: {said}")
        return SourceQueryError(f"{self.where}: database {self} refused the query: {said}")

    def __str__(self) -> str:
        return str(self.database.name)


@dataclass(frozen=True)
class SqliteSource(DbApiSource):
    """A SQLite file, opened read-only. `database` is its URL; event times are text and read as UTC."""

    def _connect(self) -> sqlite3.Connection:
        if not Path(str(self)).is_file():
            raise SourceUnavailableError(f"{self.where}: database file {self} does not exist")
        return sqlite3.connect(f"file:{quote(str(self))}?mode=ro", uri=True, timeout=10)

    def __str__(self) -> str:
        return str(self.database.database)


def _is_database_error(problem: Exception) -> bool:
    """PEP 249: every driver's errors derive from its own `Error`, and are named alike."""
    return bool({"DatabaseError", "InterfaceError"} & _ancestors(problem)) or isinstance(problem, sqlite3.Error)


def _ancestors(problem: Exception) -> set[str]:
    return {kind.__name__ for kind in type(problem).__mro__}
