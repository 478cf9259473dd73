"""Merging of small Parquet files of the prediction log: a year of five-minute compactions is not to be a hundred thousand files.

Files of one month of event time, one place, one set of columns and about one size become one, ten at a time: a row is rewritten
once per factor of ten that its file grows. Called by compaction.py under its lock.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from include.lifecycle.monitoring.log_folder import LogFolder
from include.lifecycle.monitoring.log_writing import write_merged
from include.serving.log_manifest import CompactedFile, Manifest, Removal
from include.serving.log_schema import SEGMENTS

FEWEST, MOST = 10, 40  # files that are worth merging, and that one run takes
_LARGE = 8  # powers of ten of bytes: a file of 100 MB is left alone


def merge_small(log: LogFolder) -> int:
    """Merge what is worth merging; return how many files became fewer. Killed anywhere, it doubles and loses nothing."""
    merged = 0
    for group in _worth(log.manifest.files):
        merged += len(group)
        one = write_merged(log.folder, group, _segments(log.folder, group), log.remote)
        names, manifest = {file.name for file in group}, log.manifest
        kept = [file for file in manifest.files if file.name not in names]
        gone = [Removal(file.name, file.location, "merged") for file in group]
        log.write(Manifest([*kept, one], [*manifest.removing, *gone]))
    return merged


def _worth(files: Sequence[CompactedFile]) -> Iterator[list[CompactedFile]]:
    groups: dict[object, list[CompactedFile]] = {}
    for file in files:
        tier = int(math.log10(file.size)) if file.size else _LARGE
        if file.rows and file.event_time_max and tier < _LARGE:
            columns = tuple(file.columns_later), tuple(sorted(file.features.items()))
            groups.setdefault((file.event_time_max[:7], file.location, columns, tier), []).append(file)
    yield from (group[:MOST] for group in groups.values() if len(group) >= FEWEST)


def _segments(folder: Path, files: Sequence[CompactedFile]) -> list[str]:
    """Segments of these files that a kill left on the disk: the merged file must go on naming them."""
    return [name for file in files for name in file.segments if (folder / SEGMENTS / name).exists()]
