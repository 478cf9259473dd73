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

import numpy as np

from include.lifecycle.errors import DataInvalidError
from include.lifecycle.monitoring.counting.arrays import count_window
from include.lifecycle.monitoring.counting.counts import WindowCounts
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


def read_slice(spec: ModelSpec, rt: Runtime, part: Window, share: float = 1.0) -> dict[int, Predictions]:
    """Every version's rows of one slice, or a share of them; no more than these are in memory."""
    folder = rt.storage.predictions(spec.name)
    with open_log(spec, folder, part.start, part.end, configured=rt.settings, share=share) as log:
        versions = np.unique(log.identities()[0]).tolist()
        return {int(version): log.read(int(version), part) for version in versions}


def count_rows(spec: ModelSpec, rows: dict[int, Predictions], profile_of: ProfileOf) -> dict[int, WindowCounts]:
    """Counts of each version that has a profile."""
    known = {version: profile for version in rows if (profile := profile_of(version)) is not None}
    return {
        version: count_window(scheme_of(profile), rows[version], spec.objective.classes) for version, profile in known.items()
    }


def count_shard(spec: ModelSpec, rt: Runtime, shard: Shard, profile_of: ProfileOf) -> int:
    """Count one slice and keep it; return its rows. Killed and run again it writes the same."""
    rows = read_slice(spec, rt, shard.part)
    with whole_folder(shard.folder(rt.storage)) as folder:
        for version, counts in count_rows(spec, rows, profile_of).items():
            counts.save(folder / f"{version}.npz")
    return sum(one.rows for one in rows.values())


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
