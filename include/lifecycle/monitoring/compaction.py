"""Compaction of the prediction log: closed JSONL segments -> Parquet files. Killed at any step, it doubles and loses nothing.

Order: Parquet written whole, manifest replaced, segments removed. Readers (serving/log_schema.py) believe the manifest alone.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.results import StageResult
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.storage import write_whole
from include.serving.log_schema import (
    CLASS_COLUMNS,
    CLOSED,
    MANIFEST,
    OPEN,
    PARQUET,
    SEGMENTS,
    CompactedFile,
    feature_types,
    literal,
    manifest_text,
    read_manifest,
    read_segments_sql,
)
from include.serving.segment import is_abandoned

if TYPE_CHECKING:
    import duckdb

logger = logging.getLogger(__name__)

_BATCH_BYTES = 256 * 1024 * 1024  # of segments per Parquet file: bounds memory and the file's size
_FEATURE_NAMES = """
SELECT DISTINCT unnest(json_keys(features))
FROM read_json(?, columns={features: 'JSON'}, format='newline_delimited', ignore_errors=true)
"""
_FEATURE_IS_TEXT = """
SELECT bool_or(json_type(features, ?) = 'VARCHAR')
FROM read_json(?, columns={features: 'JSON'}, format='newline_delimited', ignore_errors=true)
"""
_MEMORY_LIMIT = "1GB"  # of DuckDB; beyond it, it spills into the log's folder


class CompactionResult(StageResult):
    """What one compaction did: segments taken in, rows written, Parquet files made; files that went by retention."""

    segments: int
    rows: int
    files: int
    expired_files: int = 0


def compact_predictions(rt: Runtime, spec: ModelSpec, *, now: datetime) -> CompactionResult:
    """Move closed segments into Parquet; drop files whose newest event is older than `prediction_log.keep` before `now`.

    May be killed and called again at any point. Raises SourceUnavailableError when another compaction of the model runs.
    """
    folder = rt.storage.predictions(spec.name)
    if not folder.is_dir():
        return CompactionResult(segments=0, rows=0, files=0)
    with _exclusive(folder):
        close_abandoned(folder)
        remove_leftovers(folder)
        expired = _expire(folder, now - spec.prediction_log.keep)
        types = feature_types(spec.features.numeric, spec.features.categorical)
        made = [compact_batch(folder, batch, types) for batch in _batches(folder)]
    segments = sum(len(file.segments) for file in made)
    return CompactionResult(segments=segments, rows=sum(file.rows for file in made), files=len(made), expired_files=expired)


def close_abandoned(folder: Path) -> list[Path]:
    """Give open segments whose writer is gone their closed name; a torn last line stays and is skipped by readers."""
    closed = []
    for path in sorted((folder / SEGMENTS).glob(f"*{OPEN}")):
        try:
            if is_abandoned(path):
                closed.append(path.rename(path.with_name(path.name.removesuffix(".open"))))
        except FileNotFoundError:  # its writer has just finished it
            continue
    return closed


def remove_leftovers(folder: Path) -> None:
    """Finish what a killed compaction left: segments already in a Parquet file, Parquet files that the manifest does not name."""
    compacted = read_manifest(folder)
    contained = {name for file in compacted for name in file.segments}
    for path in (folder / SEGMENTS).glob(f"*{CLOSED}"):
        if path.name in contained:
            path.unlink(missing_ok=True)
    named = {file.name for file in compacted}
    for path in (folder / PARQUET).glob("*"):
        if path.is_file() and path.name not in named:
            path.unlink(missing_ok=True)


def compact_batch(folder: Path, segments: Sequence[Path], types: dict[str, str]) -> CompactedFile:
    """Write one Parquet file of these segments, name it in the manifest, remove the segments."""
    file = write_parquet(folder, segments, types)
    write_whole(folder / MANIFEST, manifest_text([*read_manifest(folder), file]))
    for path in segments:
        path.unlink(missing_ok=True)
    return file


def write_parquet(folder: Path, segments: Sequence[Path], types: dict[str, str]) -> CompactedFile:
    """Write the rows of `segments`, sorted by event time, under a temporary name and rename it.

    Features are those that the lines hold, so an older version's column is kept; `types` gives their type, else the values do.
    """
    import duckdb

    base = folder / PARQUET
    base.mkdir(parents=True, exist_ok=True)
    name = f"{segments[0].name.removesuffix(CLOSED)}-{uuid4().hex[:8]}.parquet"
    temporary = base / f".{name}.tmp"
    with duckdb.connect() as connection:
        connection.execute(f"SET memory_limit='{_MEMORY_LIMIT}'; SET threads=1; SET temp_directory={literal(base / '.spill')}")
        features = _features(connection, segments, types)
        rows = f"{read_segments_sql(segments, features)} ORDER BY event_time"
        connection.execute(f"COPY ({rows}) TO {literal(temporary)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 50000)")
        count, first, last = _extent(connection, temporary)
    temporary.rename(base / name)
    names, classes = [path.name for path in segments], list(CLASS_COLUMNS)
    return CompactedFile(name, names, count, first, last, features, classes, arms=True, units=True)


def _features(connection: duckdb.DuckDBPyConnection, segments: Sequence[Path], types: dict[str, str]) -> dict[str, str]:
    """Names of all features in the lines, with their DuckDB types."""
    paths = [str(path) for path in segments]
    found = sorted(row[0] for row in connection.execute(_FEATURE_NAMES, [paths]).fetchall())
    return {name: types.get(name) or _type_of(connection, paths, name) for name in found}


def _type_of(connection: duckdb.DuckDBPyConnection, paths: list[str], name: str) -> str:
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    row = connection.execute(_FEATURE_IS_TEXT, [pointer, paths]).fetchone()
    return "VARCHAR" if row and row[0] else "DOUBLE"


def _extent(connection: duckdb.DuckDBPyConnection, path: Path) -> tuple[int, str | None, str | None]:
    """Rows and event times (ISO, UTC) of a Parquet file."""
    query = "SELECT count(*), min(epoch_us(event_time)), max(epoch_us(event_time)) FROM read_parquet(?)"
    count, first, last = connection.execute(query, [str(path)]).fetchone() or (0, None, None)
    return int(count), _iso(first), _iso(last)


def _iso(microseconds: int | None) -> str | None:
    if microseconds is None:
        return None
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)).isoformat(timespec="microseconds")


def _batches(folder: Path) -> Iterator[list[Path]]:
    batch: list[Path] = []
    size = 0
    for path in sorted((folder / SEGMENTS).glob(f"*{CLOSED}")):
        batch.append(path)
        size += path.stat().st_size
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _expire(folder: Path, before: datetime) -> int:
    """Drop compacted files whose newest event is older than `before`: first from the manifest, then from the disk."""
    compacted = read_manifest(folder)
    kept = [file for file in compacted if file.event_time_max and datetime.fromisoformat(file.event_time_max) >= before]
    if len(kept) == len(compacted):
        return 0
    write_whole(folder / MANIFEST, manifest_text(kept))
    names = {file.name for file in kept}
    for file in compacted:
        if file.name not in names:
            (folder / PARQUET / file.name).unlink(missing_ok=True)
    return len(compacted) - len(kept)


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """One compaction per model at a time; the lock dies with its holder."""
    with (folder / ".compaction.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            raise SourceUnavailableError(f"{folder}: another compaction of this prediction log is running") from problem
        yield
