"""Writes one Parquet file of the prediction log, under a temporary name until it is whole: of segments, or of smaller files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from include.lifecycle.errors import SourceUnavailableError
from include.serving.log_manifest import CompactedFile
from include.serving.log_schema import CLASS_COLUMNS, CLOSED, PARQUET, Remote, literal, read_segments_sql, source_of

if TYPE_CHECKING:
    import duckdb

_FEATURE_NAMES = """
SELECT DISTINCT unnest(json_keys(features))
FROM read_json(?, columns={features: 'JSON'}, format='newline_delimited', ignore_errors=true)
"""
_FEATURE_IS_TEXT = """
SELECT bool_or(json_type(features, ?) = 'VARCHAR')
FROM read_json(?, columns={features: 'JSON'}, format='newline_delimited', ignore_errors=true)
"""
_MEMORY_LIMIT = "1GB"  # of DuckDB; beyond it, it spills into the log's folder


def write_segments(folder: Path, segments: Sequence[Path], types: dict[str, str]) -> CompactedFile:
    """Write the rows of `segments`, sorted by event time.

    Features are those that the lines hold, so an older version's column is kept; `types` gives their type, else the values do.
    """
    name = f"{segments[0].name.removesuffix(CLOSED)}-{uuid4().hex[:8]}.parquet"
    with _duckdb(folder) as connection:
        features = _features(connection, segments, types)
        written = _copy(connection, folder, name, read_segments_sql(segments, features))
    rows, first, last, logged = written.extent
    told: dict[str, Any] = {
        "class_columns": list(CLASS_COLUMNS),
        "arms": True,
        "units": True,
        "clients": True,
        "size": written.size,
        "logged_max": logged,
    }
    return CompactedFile(name, [path.name for path in segments], rows, first, last, features, **told)


def write_merged(folder: Path, files: Sequence[CompactedFile], segments: list[str], remote: Remote) -> CompactedFile:
    """Write the rows of `files`, which lie in one place and have the same columns; the new file names `segments`.

    Raises SourceUnavailableError when they lie on S3 and it does not answer.
    """
    import duckdb

    name = f"merged-{uuid4().hex[:16]}.parquet"
    try:
        with _duckdb(folder) as connection:
            source = f"SELECT * FROM ({source_of(connection, folder, files, remote)})"  # noqa: S608 - quoted there
            written = _copy(connection, folder, name, source)
    except (OSError, duckdb.Error) as problem:
        raise SourceUnavailableError(f"{folder}: {len(files)} files could not be merged: {problem}") from problem
    rows, first, last, logged = written.extent
    return replace(
        files[0],
        name=name,
        segments=segments,
        rows=rows,
        event_time_min=first,
        event_time_max=last,
        location=None,
        size=written.size,
        logged_max=logged,
    )


class _Written(NamedTuple):
    """Rows, first and last event time and last time of logging (ISO, UTC) of a file, and its bytes."""

    extent: tuple[int, str | None, str | None, str | None]
    size: int


@contextmanager
def _duckdb(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    import duckdb

    base = folder / PARQUET
    base.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        connection.execute(f"SET memory_limit='{_MEMORY_LIMIT}'; SET threads=1; SET temp_directory={literal(base / '.spill')}")
        yield connection


def _copy(connection: duckdb.DuckDBPyConnection, folder: Path, name: str, rows: str) -> _Written:
    """Write a query's rows under a temporary name, then under their own."""
    base = folder / PARQUET
    temporary = base / f".{name}.tmp"
    ordered = f"{rows} ORDER BY event_time"
    connection.execute(f"COPY ({ordered}) TO {literal(temporary)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 50000)")
    written = _Written(_extent(connection, temporary), temporary.stat().st_size)
    temporary.rename(base / name)
    return written


def _features(connection: duckdb.DuckDBPyConnection, segments: Sequence[Path], types: dict[str, str]) -> dict[str, str]:
    """Names of all features in the lines, with their DuckDB types."""
    paths = [str(path) for path in segments]
    found = sorted(row[0] for row in connection.execute(_FEATURE_NAMES, [paths]).fetchall())
    return {name: types.get(name) or _type_of(connection, paths, name) for name in found}


def _type_of(connection: duckdb.DuckDBPyConnection, paths: list[str], name: str) -> str:
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    row = connection.execute(_FEATURE_IS_TEXT, [pointer, paths]).fetchone()
    return "VARCHAR" if row and row[0] else "DOUBLE"


def _extent(connection: duckdb.DuckDBPyConnection, path: Path) -> tuple[int, str | None, str | None, str | None]:
    """Rows, first and last event time, last time of logging (ISO, UTC)."""
    times = "min(epoch_us(event_time)), max(epoch_us(event_time)), max(epoch_us(logged_at))"
    query = f"SELECT count(*), {times} FROM read_parquet(?)"  # noqa: S608 - constants
    count, *moments = connection.execute(query, [str(path)]).fetchone() or (0, None, None, None)
    first, last, logged = map(_iso, moments)
    return int(count), first, last, logged


def _iso(microseconds: int | None) -> str | None:
    if microseconds is None:
        return None
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)).isoformat(timespec="microseconds")
