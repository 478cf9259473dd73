"""Parquet or CSV files as a source: pyarrow.dataset reads them (local disk or S3), DuckDB filters, samples and sorts.

Memory is bounded: few batches are read ahead, and the sort spills to disk. The files are one table named `dataset` to the SQL
around them, so fetch treats them like every database.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from include.lifecycle.data.dialects import DUCKDB
from include.lifecycle.data.event_times import is_text
from include.lifecycle.data.s3 import S3Account, filesystem
from include.lifecycle.data.source import BATCH_ROWS, Source
from include.lifecycle.errors import DataInvalidError, SourceQueryError, SourceUnavailableError

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.dataset

TABLE = "dataset"
_MEMORY = "256MB"  # of DuckDB's sort; beyond it, it spills to a temporary folder
_READ_AHEAD = 2  # batches and files; pyarrow's default of 16 batches would hold a gigabyte
_REFUSED = re.compile(r"ACCESS_DENIED|NO_SUCH|INVALID|NOT_FOUND|SIGNATURE|403|404")
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class DatasetSource(Source):
    """Files below `path`: one file, a folder (all files with the format's ending, at any depth), or a glob."""

    where: str
    path: str
    format: str
    account: S3Account | None = None
    dialect = DUCKDB

    def check(self) -> None:
        """There is at least one file."""
        self._files()

    def event_time_sql(self, column: str) -> str:
        """The column as a timestamp with time zone; text and times without a zone are UTC.

        Raises:
            DataInvalidError: there is no such column.
        """
        schema = self._dataset().schema
        place = schema.get_field_index(column)
        if place < 0:
            raise DataInvalidError(f"{self.where}: {self} has no column {column!r}. It has {', '.join(schema.names)}")
        plain = self.dialect.quoted(column)
        return f"CAST({plain} AS TIMESTAMPTZ)" if is_text(schema.types[place]) or not _zoned(schema.types[place]) else plain

    @contextmanager
    def stream(self, query: str) -> Iterator[pyarrow.RecordBatchReader]:
        """The query's rows as Arrow record batches; `query` reads the table `dataset`."""
        import duckdb
        import pyarrow as pa

        try:
            with TemporaryDirectory(prefix="modelops-sort-") as spill, duckdb.connect(config=_options(spill)) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                connection.register(TABLE, self._scanner())
                yield connection.sql(query).to_arrow_reader(BATCH_ROWS)
        except duckdb.Error as problem:
            raise SourceQueryError(f"{self.where}: {self} cannot be read: {problem}") from problem
        except (OSError, pa.ArrowInvalid) as problem:
            raise self._translate(problem) from problem

    def _scanner(self) -> pyarrow.dataset.Scanner:
        return self._dataset().scanner(batch_size=BATCH_ROWS, batch_readahead=_READ_AHEAD, fragment_readahead=_READ_AHEAD)

    def _dataset(self) -> pyarrow.dataset.Dataset:
        import pyarrow as pa
        import pyarrow.dataset as ds

        files = self._files()
        try:
            return ds.dataset(files, format=self.format, filesystem=self._filesystem())
        except (OSError, pa.ArrowInvalid) as problem:
            raise self._translate(problem) from problem

    def local_files(self) -> list[str]:
        """Paths of the files, links unresolved; empty on S3, which has none."""
        return [] if self.path.startswith("s3://") else self._files()

    def _files(self) -> list[str]:
        """Paths in the file system's own spelling, sorted."""
        from pyarrow.fs import FileSelector, FileType

        path = self.path.removeprefix("s3://")
        glob = _GLOB.search(path)
        base = path[: glob.start()].rpartition("/")[0] if glob else path
        system = self._filesystem()
        try:
            (found,) = system.get_file_info([base])
            if found.type == FileType.File:
                return [base]
            listed = system.get_file_info(FileSelector(base, recursive=True, allow_not_found=True))
        except OSError as problem:
            raise self._translate(problem) from problem
        pattern = path if glob else f"{path.rstrip('/')}/*.{self.format}"
        files = sorted(info.path for info in listed if info.type == FileType.File and fnmatch.fnmatchcase(info.path, pattern))
        if not files:
            raise SourceQueryError(f"{self.where}: no file matches {self} ({self.format})")
        return files

    def _filesystem(self) -> Any:
        from pyarrow.fs import LocalFileSystem

        return filesystem(self.account or S3Account()) if self.path.startswith("s3://") else LocalFileSystem()

    def _translate(self, problem: Exception) -> SourceQueryError | SourceUnavailableError:
        """Refusals of S3 and unreadable files are told at once; what did not answer may be tried again."""
        said = " ".join(str(problem).split())
        refused = not isinstance(problem, OSError) or _REFUSED.search(said)
        kind = SourceQueryError if refused else SourceUnavailableError
        return kind(f"{self.where}: {self} cannot be read: {said}")

    def __str__(self) -> str:
        return f"dataset {self.path}"


def window_query(
    source: DatasetSource, event_time: str, start: datetime, end: datetime, known_at: str | None, as_of: datetime
) -> str:
    """All columns of the rows in [start, end) whose outcome was known at `as_of` (as `known_at` says, if given)."""
    time, at = source.event_time_sql(event_time), source.dialect.timestamp
    known = f" AND {source.event_time_sql(known_at)} <= {at(as_of)}" if known_at else ""
    return f"SELECT * FROM {TABLE} WHERE {time} >= {at(start)} AND {time} < {at(end)}{known}"  # noqa: S608 - quoted and rendered


def _zoned(kind: pyarrow.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_timestamp(kind) and kind.tz is not None)


def _options(spill: str) -> dict[str, Any]:
    return {"memory_limit": _MEMORY, "threads": 2, "temp_directory": spill, "preserve_insertion_order": True}
