"""The prediction log's manifest: which Parquet files there are, where each lies, and which segments it contains.

Written whole by compaction (`<folder>/manifest.json`); readers believe it alone.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class CompactedFile:
    """One Parquet file: which segments it contains, its event times (ISO, inclusive), its features with their DuckDB types, and
    which of CLASS_COLUMNS and whether the columns `arm`, `unit` and `client` it has (none in files from before there were any).
    `location`: None in the log's own folder, else the `s3://bucket/prefix` that it was shipped to. `size` in bytes (0: not told),
    `logged_max` when its newest row was logged (ISO; None: not told)."""

    name: str
    segments: list[str]
    rows: int
    event_time_min: str | None
    event_time_max: str | None
    features: dict[str, str] = field(default_factory=dict)
    class_columns: list[str] = field(default_factory=list)
    arms: bool = False
    units: bool = False
    clients: bool = False
    location: str | None = None
    size: int = 0
    logged_max: str | None = None

    @property
    def columns_later(self) -> list[str]:
        """Which of the columns that older files lack this one has."""
        told = {"arm": self.arms, "unit": self.units, "client": self.clients}
        return [*self.class_columns, *(name for name, has in told.items() if has)]


@dataclass(frozen=True)
class Removal:
    """A file that left the manifest; readers may still be at it, so the next run removes it from disk or bucket."""

    name: str
    location: str | None
    why: Literal["merged", "shipped", "expired"]
    rows: int = 0


@dataclass(frozen=True)
class Manifest:
    """Files that readers see, and files that they no longer see and that still exist."""

    files: list[CompactedFile] = field(default_factory=list)
    removing: list[Removal] = field(default_factory=list)

    def text(self) -> str:
        """The manifest's JSON."""
        told = {"files": [asdict(file) for file in self.files], "removing": [asdict(one) for one in self.removing]}
        return json.dumps(told, indent=1) + "\n"

    @classmethod
    def parse(cls, text: str | bytes) -> Manifest:
        """Read what `text` wrote."""
        raw = json.loads(text)
        return cls([CompactedFile(**entry) for entry in raw["files"]], [Removal(**entry) for entry in raw.get("removing", ())])


def load_manifest(folder: Path) -> Manifest:
    """The manifest of a log folder; an empty one before the first compaction."""
    try:
        return Manifest.parse((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        return Manifest()


def read_manifest(folder: Path) -> list[CompactedFile]:
    """The compacted files of a log folder."""
    return load_manifest(folder).files
