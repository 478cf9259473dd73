"""One segment file of the prediction log while it is written: locked, whole lines only, renamed when it is finished."""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from include.serving.log_schema import OPEN, SEGMENTS


@dataclass
class Segment:
    """An open segment. The lock on its file dies with the process: that is how compaction knows an abandoned one."""

    path: Path
    handle: int
    size: int = 0
    opened: float = field(default_factory=time.monotonic)

    @classmethod
    def create(cls, folder: Path, version: int) -> Segment:
        """Create and lock `<folder>/segments/<version>-<pid>-<epoch_ms>.jsonl.open`; raise OSError when that is not possible."""
        base = folder / SEGMENTS
        base.mkdir(parents=True, exist_ok=True)
        moment = time.time_ns() // 1_000_000
        while (base / _name(version, moment).removesuffix(".open")).exists() or (base / _name(version, moment)).exists():
            moment += 1
        path = base / _name(version, moment)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        segment = cls(path, handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            segment.abandon()
            raise
        return segment

    @property
    def age(self) -> float:
        """Seconds since it was opened."""
        return time.monotonic() - self.opened

    @property
    def vanished(self) -> bool:
        """Whether its name is gone: someone removed or renamed the file, and what is written would be lost."""
        try:
            return not os.path.samestat(os.fstat(self.handle), self.path.stat())
        except OSError:
            return True

    def write(self, content: bytes) -> None:
        """Append whole lines; after an error the file ends where it did before, so no half line is ever continued."""
        view = memoryview(content)
        try:
            while view:
                view = view[os.write(self.handle, view) :]
        except OSError:
            os.ftruncate(self.handle, self.size)
            raise
        self.size += len(content)

    def finish(self) -> None:
        """Close the file and give it its final name; an empty one is removed."""
        try:
            if self.size:
                self.path.rename(self.path.with_name(self.path.name.removesuffix(".open")))
            else:
                self.path.unlink(missing_ok=True)
        finally:
            os.close(self.handle)

    def abandon(self) -> None:
        """Close the file without renaming it."""
        os.close(self.handle)


def _name(version: int, moment: int) -> str:
    return f"{version}-{os.getpid()}-{moment}{OPEN}"


def is_abandoned(path: Path) -> bool:
    """Whether no live process holds this open segment. Raises OSError when the file cannot be opened."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True
