"""Compaction of the prediction log: closed JSONL segments -> Parquet files. Killed at any step, it doubles and loses nothing.

Order: Parquet written whole, manifest replaced, segments removed; then small files merged (log_merging.py), old ones taken out
(log_retention.py), the rest shipped (log_folder.py). Readers (serving/log_schema.py) believe the manifest alone.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.monitoring.log_folder import LogFolder
from include.lifecycle.monitoring.log_merging import merge_small
from include.lifecycle.monitoring.log_retention import expire, finish_removals
from include.lifecycle.monitoring.log_writing import write_segments
from include.lifecycle.monitoring.security.access import remove_old
from include.lifecycle.results import StageResult
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec
from include.serving.log_manifest import CompactedFile, Manifest
from include.serving.log_schema import CLOSED, OPEN, PARQUET, SEGMENTS, feature_types
from include.serving.segment import is_abandoned

_BATCH_BYTES = 256 * 1024 * 1024  # of segments per Parquet file: bounds memory and the file's size


class CompactionResult(StageResult):
    """What one compaction did: segments taken in, rows written, Parquet files made; then files merged into fewer, taken out by
    retention, and shipped to the destination."""

    segments: int
    rows: int
    files: int
    merged: int = 0
    expired_files: int = 0
    shipped: int = 0


def compact_predictions(rt: Runtime, spec: ModelSpec, *, now: datetime) -> CompactionResult:
    """Move closed segments into Parquet, merge small files, let go what `prediction_log.keep` no longer wants at `now`, ship the
    rest to `prediction_log.destination`.

    Access files (wall time) go by the same `keep`. May be killed and called again at any point. Raises SourceUnavailableError
    when another compaction of the model runs, and when the database or S3 does not answer; what was compacted by then stays so.
    """
    log = LogFolder.of(rt, spec)
    if not log.folder.is_dir() and log.destination is None:
        return CompactionResult(segments=0, rows=0, files=0)
    log.folder.mkdir(parents=True, exist_ok=True)
    with _exclusive(log.folder):
        log.adopt()
        pending = log.manifest.removing
        close_abandoned(log.folder)
        remove_leftovers(log)
        types = feature_types(spec.features.numeric, spec.features.categorical)
        made = [compact_batch(log, batch, types) for batch in _batches(log.folder)]
        result = CompactionResult(
            segments=sum(len(file.segments) for file in made),
            rows=sum(file.rows for file in made),
            files=len(made),
            merged=merge_small(log),
            expired_files=expire(rt, spec, log, now),
            shipped=log.ship(),
        )
        finish_removals(rt, spec, log, pending)
        remove_old(log.folder, datetime.now(UTC) - spec.prediction_log.keep)
    return result


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


def remove_leftovers(log: LogFolder) -> None:
    """Finish what a killed compaction left: segments already in a Parquet file, Parquet files that the manifest does not name."""
    folder, manifest = log.folder, log.manifest
    contained = {name for file in manifest.files for name in file.segments}
    for path in (folder / SEGMENTS).glob(f"*{CLOSED}"):
        if path.name in contained:
            path.unlink(missing_ok=True)
    named = {file.name for file in manifest.files if file.location is None}
    named |= {one.name for one in manifest.removing if one.location is None}
    for path in (folder / PARQUET).glob("*"):
        if path.is_file() and path.name not in named:
            path.unlink(missing_ok=True)


def compact_batch(log: LogFolder, segments: Sequence[Path], types: dict[str, str]) -> CompactedFile:
    """Write one Parquet file of these segments, name it in the manifest, remove the segments."""
    file = write_segments(log.folder, segments, types)
    manifest = log.manifest
    log.write(Manifest([*manifest.files, file], manifest.removing))
    for path in segments:
        path.unlink(missing_ok=True)
    return file


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


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """One compaction per model at a time; the lock dies with its holder."""
    with (folder / ".compaction.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            raise SourceUnavailableError(f"{folder}: another compaction of this prediction log is running") from problem
        yield
