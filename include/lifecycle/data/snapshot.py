"""Stage snapshot_data: the fetched file as a DVC snapshot, whose content hash is its id; and the way back from its pointer.

One DVC repository per model, one remote (folder or S3) shared by all models; the remote holds each content once, the repository
the pointer.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from include.lifecycle.data.snapshot_repository import open_repository
from include.lifecycle.errors import ArtefactDigestError, SourceUnavailableError
from include.lifecycle.results import FetchedData, Snapshot
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec

TRACKED_FILE = "training.parquet"
_POINTER_FILE = f"{TRACKED_FILE}.dvc"


def snapshot_data(spec: ModelSpec, rt: Runtime, run: RunContext, fetched: FetchedData) -> Snapshot:
    """Store the fetched file under its md5 in the snapshot remote; the same content again adds nothing.

    Raises:
        SourceUnavailableError: the file is gone, or the remote cannot be written (disk full, S3 away).
    """
    if not fetched.path.is_file():
        raise SourceUnavailableError(f"model {spec.name}, run {run.run_id}: {fetched.path} is gone; run fetch_data again")
    folder = rt.storage.snapshots(spec.name)
    with _one_at_a_time(folder), open_repository(folder, rt.settings) as repo:
        tracked = folder / TRACKED_FILE
        tracked.unlink(missing_ok=True)
        shutil.copyfile(fetched.path, tracked)
        repo.add(str(tracked))
        repo.push(targets=[str(folder / _POINTER_FILE)])
        pointer = (folder / _POINTER_FILE).read_text(encoding="utf-8")
        _forget_copies(folder)
    identity, size = read_pointer(pointer)
    return Snapshot(
        snapshot_id=identity,
        pointer=pointer,
        bytes=size,
        source=fetched.source,
        excluded_windows=fetched.excluded_windows,
    )


def restore_snapshot(rt: Runtime, model: str, pointer: str, destination: Path) -> Path:
    """Write the file that `pointer` names (a snapshot's `.dvc` text) to `destination`, verified by its md5.

    Raises:
        ArtefactDigestError: the remote does not hold that content any more, or damaged, or the pointer is none.
        SourceUnavailableError: the remote does not answer.
    """
    from dvc.exceptions import CheckoutError

    identity, _ = read_pointer(pointer)
    destination.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".restore-", dir=destination.parent) as name:
        folder = Path(name)
        with open_repository(folder, rt.settings) as repo:
            (folder / _POINTER_FILE).write_text(pointer, encoding="utf-8")
            try:
                repo.pull(targets=[str(folder / _POINTER_FILE)])
            except CheckoutError as problem:  # DVC's own text speaks of its cache
                why = f"the remote {rt.settings.snapshot_remote} does not hold its content, whole"
                raise ArtefactDigestError(f"model {model}: snapshot {identity} cannot be restored: {why}") from problem
            except Exception as problem:
                raise ArtefactDigestError(f"model {model}: snapshot {identity} cannot be restored: {problem}") from problem
        shutil.copyfile(folder / TRACKED_FILE, folder / "copy")  # DVC's own file is a read-only link into its cache
        _verify(folder / "copy", identity, model)
        (folder / "copy").replace(destination)
    return destination


def _verify(file: Path, identity: str, model: str) -> None:
    """DVC trusts a file of its remote that is read-only, without looking into it; this does not."""
    with file.open("rb") as content:
        found = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != identity:
        raise ArtefactDigestError(f"model {model}: snapshot {identity} is damaged in the remote: its content's md5 is {found}")


def read_pointer(pointer: str) -> tuple[str, int]:
    """Content hash (md5, hex) and size in bytes of a `.dvc` text; ArtefactDigestError when it is none."""
    try:
        entry = yaml.safe_load(pointer)["outs"][0]
        return str(entry["md5"]), int(entry["size"])
    except (yaml.YAMLError, KeyError, IndexError, TypeError, ValueError) as problem:
        raise ArtefactDigestError(f"not the pointer of a DVC snapshot: {pointer[:200]!r}") from problem


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Two runs of one model share the tracked file's name; the kernel lets go of the lock when its holder dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".snapshot.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _forget_copies(folder: Path) -> None:
    """Once the remote holds the content, the repository's own copies go: snapshots are stored once."""
    (folder / TRACKED_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder / ".dvc" / "cache" / "files", ignore_errors=True)
