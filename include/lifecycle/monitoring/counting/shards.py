"""Counts of one slice of a large window: made by whoever comes first, a shard's own task or the monitor, and merged exactly.

A shard lies in `<storage>/windows/<model>/shards/<window start>/<slice start>-<slice end>/`, an npz per version, written whole;
the monitor removes a window's shards with the window's row stored, so they never outlive what they were counted for.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from include.lifecycle.errors import DataInvalidError
from include.lifecycle.monitoring.counting.counts import WindowCounts
from include.lifecycle.monitoring.counting.log_counts import count_log
from include.lifecycle.monitoring.counting.scheme import scheme_of
from include.lifecycle.monitoring.predictions import Predictions, open_log
from include.lifecycle.monitoring.profile import Profile
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.storage import Storage, whole_folder

_AT = "%Y%m%dT%H%M%S%fZ"
ProfileOf = Callable[[int], Profile | None]


@dataclass(frozen=True)
class Shard:
    """One slice of one window of a model."""

    model: str
    window: Window
    part: Window

    def folder(self, storage: Storage) -> Path:
        """Where its counts lie once they are made."""
        return shards_of(storage, self.model, self.window) / f"{_name(self.part.start)}-{_name(self.part.end)}"

    def plain(self) -> dict[str, str]:
        """As a task's argument."""
        times = (self.window.start, self.window.end, self.part.start, self.part.end)
        return {"model": self.model, "times": " ".join(at.isoformat() for at in times)}

    @classmethod
    def parse(cls, plain: dict[str, str]) -> Shard:
        """Read what `plain` wrote."""
        start, end, since, until = (datetime.fromisoformat(at) for at in plain["times"].split())
        return cls(plain["model"], Window(start, end), Window(since, until))


def shards_of(storage: Storage, model: str, window: Window) -> Path:
    """Folder of all shards of one window."""
    return storage.windows(model) / "shards" / _name(window.start)


@dataclass(frozen=True)
class Slice:
    """One version's part of a slice: how many rows it has, a share of them, and their counts (None without a profile)."""

    rows: int
    sample: Predictions | None
    counts: WindowCounts | None


def read_slice(
    spec: ModelSpec, rt: Runtime, part: Window, profile_of: ProfileOf, counted: dict[int, WindowCounts] | None, share: float
) -> dict[int, Slice]:
    """Every version's part of one slice. What is `counted` already is only sampled; `share` 0 takes no sample."""
    folder, found = rt.storage.predictions(spec.name), {}
    read = share if counted is not None else 1.0
    with open_log(spec, folder, part.start, part.end, configured=rt.settings, share=read, threads=1) as log:
        for version in sorted({*log.versions(), *(counted or {})}):
            profile = profile_of(version)
            if counted is not None:
                counts = counted.get(version)
            else:
                counts = None if profile is None else count_log(log, scheme_of(profile), version)
            rows = counts.rows if counts is not None else round(log.rows_of(version) / read)
            sample = None if share <= 0 else log.read(version, part, 1.0 if counted is not None else share)
            found[version] = Slice(rows, sample, counts)
    return found


def count_shard(spec: ModelSpec, rt: Runtime, shard: Shard, profile_of: ProfileOf) -> int:
    """Count one slice and keep it; return its rows. Killed and run again it writes the same."""
    read = read_slice(spec, rt, shard.part, profile_of, None, 0.0)
    with whole_folder(shard.folder(rt.storage)) as folder:
        for version, one in read.items():
            if one.counts is not None:
                one.counts.save(folder / f"{version}.npz")
    return sum(one.rows for one in read.values())


def stored_shard(storage: Storage, shard: Shard) -> dict[int, WindowCounts] | None:
    """What `count_shard` kept, by version; None where there is nothing whole."""
    folder = shard.folder(storage)
    if not folder.is_dir():
        return None
    try:
        return {int(path.stem): WindowCounts.load(path) for path in folder.glob("*.npz")}
    except DataInvalidError:
        return None


def forget_shards(storage: Storage, model: str, window: Window) -> None:
    """Remove a window's shards."""
    shutil.rmtree(shards_of(storage, model, window), ignore_errors=True)


def _name(at: datetime) -> str:
    return f"{at.astimezone(UTC):{_AT}}"
