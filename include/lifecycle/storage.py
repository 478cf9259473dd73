"""Where files lie: stage outputs, snapshots, predictions, served versions; and how they are written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

_UNSAFE = re.compile(r"[^A-Za-z0-9_.=-]+")


@dataclass(frozen=True)
class Storage:
    """Folders below one root; a model's name and a run's id become one path segment each."""

    root: Path

    def stage(self, model: str, run_id: str, task: str) -> Path:
        """Folder of one task's outputs: `artifacts/<model>/<run>/<task>`. Not created here."""
        return self.root / "artifacts" / segment(model) / segment(run_id) / segment(task)

    def predictions(self, model: str) -> Path:
        """Folder of a model's prediction log."""
        return self.root / "predictions" / segment(model)

    def snapshots(self, model: str) -> Path:
        """Folder of a model's DVC repository."""
        return self.root / "snapshots" / segment(model)

    @property
    def snapshot_remote(self) -> Path:
        """The DVC remote that all models share, where no other one is set (MODELOPS_SNAPSHOT_REMOTE)."""
        return self.root / "snapshot-remote"

    def served(self, model: str, version: int) -> Path:
        """Folder of one verified version that a model server loads."""
        return self.root / "served" / segment(model) / str(version)

    def windows(self, model: str) -> Path:
        """Folder of a model's counted windows."""
        return self.root / "windows" / segment(model)

    def reports(self, model: str) -> Path:
        """Folder of a model's HTML reports."""
        return self.root / "reports" / segment(model)


def segment(text: str) -> str:
    """Make one safe path segment of any identifier (run ids hold `:` and `+`)."""
    return _UNSAFE.sub("_", text).strip(".") or "_"


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary sibling folder that replaces `target` when the block succeeds and vanishes when it fails."""
    temporary = target.with_name(f".{target.name}.{uuid4().hex[:8]}.tmp")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if target.exists():
            shutil.rmtree(target)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def forget_killed(target: Path) -> None:
    """Remove what killed writers of `target` left; for folders that one task at a time writes."""
    for left in target.parent.glob(f".{target.name}.*.tmp"):
        shutil.rmtree(left, ignore_errors=True)


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file so that readers see the old or the new content, never a part; survives a kill."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid4().hex[:6]}.tmp")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Hex sha256 of one file, read in chunks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
