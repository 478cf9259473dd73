"""One model's prediction log as compaction works on it: the local folder, its manifest, and the place on S3 that files go to.

The local manifest is what readers believe. A copy lies beside the files on S3, never older than what was shipped: a machine that
lost its disk begins from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.storage import segment, write_whole
from include.serving.log_manifest import MANIFEST, CompactedFile, Manifest, Removal, load_manifest
from include.serving.log_schema import PARQUET, Remote
from include.settings import Settings

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_AT_ONCE = 50  # files between two writes of the manifest while many are shipped
_CHUNK = 8 * 1024 * 1024


def remote_of(settings: Settings) -> Remote:
    """Opens the S3 account of the settings when it is asked."""

    def opened() -> FileSystem:
        from include.lifecycle.data.s3 import account_of, filesystem

        return filesystem(account_of(settings))

    return opened


@dataclass(frozen=True)
class LogFolder:
    """`destination`: `s3://bucket/prefix/<model>`, None where files stay in `folder`."""

    folder: Path
    destination: str | None
    remote: Remote

    @classmethod
    def of(cls, rt: Runtime, spec: ModelSpec) -> LogFolder:
        """The log of a model."""
        base = spec.prediction_log.destination
        place = f"{base}/{segment(spec.name)}" if base else None
        return cls(rt.storage.predictions(spec.name), place, remote_of(rt.settings))

    @property
    def manifest(self) -> Manifest:
        """The manifest as it is now."""
        return load_manifest(self.folder)

    def write(self, manifest: Manifest) -> None:
        """Bring a manifest into force."""
        write_whole(self.folder / MANIFEST, manifest.text())

    def publish(self, manifest: Manifest) -> None:
        """Put a copy on S3, then bring it into force: the copy may name a file too many, never one too few."""
        if self.destination is not None:
            with self._answering() as storage, storage.open_output_stream(_path(self.destination, MANIFEST)) as stream:
                stream.write(manifest.text().encode())
        self.write(manifest)

    def adopt(self) -> bool:
        """Where there is no local manifest, begin from the copy on S3; whether that was done. Names only what lies on S3."""
        if self.destination is None or (self.folder / MANIFEST).exists():
            return False
        with self._answering() as storage:
            path = _path(self.destination, MANIFEST)
            if not storage.get_file_info(path).is_file:
                return False
            with storage.open_input_stream(path) as stream:
                copy = Manifest.parse(stream.read())
        shipped = [file for file in copy.files if file.location is not None]
        self.write(Manifest(shipped, [one for one in copy.removing if one.location is not None]))
        return True

    def ship(self) -> int:
        """Move the local files to the destination: uploaded, seen there, named in the manifest; return how many.

        Killed anywhere, it uploads the same bytes under the same name again. Raises SourceUnavailableError when S3 does not
        answer: what is not shipped stays local and readable.
        """
        if self.destination is None:
            return 0
        waiting = [file for file in self.manifest.files if file.location is None]
        for start in range(0, len(waiting), _AT_ONCE):
            batch = waiting[start : start + _AT_ONCE]
            for file in batch:
                self._upload(file, self.destination)
            self._moved(batch, self.destination)
        return len(waiting)

    def delete(self, removals: list[Removal]) -> None:
        """Remove files that readers no longer see; one that is gone already is no error."""
        for one in removals:
            if one.location is None:
                (self.folder / PARQUET / one.name).unlink(missing_ok=True)
                continue
            with self._answering() as storage:
                path = _path(one.location, PARQUET, one.name)
                if storage.get_file_info(path).is_file:
                    storage.delete_file(path)

    def _moved(self, batch: list[CompactedFile], destination: str) -> None:
        names, manifest = {file.name for file in batch}, self.manifest
        files = [replace(file, location=destination) if file.name in names else file for file in manifest.files]
        gone = [Removal(file.name, None, "shipped") for file in batch]
        self.publish(Manifest(files, [*manifest.removing, *gone]))

    def _upload(self, file: CompactedFile, destination: str) -> None:
        local, path = self.folder / PARQUET / file.name, _path(destination, PARQUET, file.name)
        with self._answering() as storage:
            with local.open("rb") as source, storage.open_output_stream(path) as stream:
                while chunk := source.read(_CHUNK):
                    stream.write(chunk)
            found, size = storage.get_file_info(path).size, local.stat().st_size
        if found != size:
            raise SourceUnavailableError(f"s3://{path} has {found} bytes after its upload; {size} were sent")

    @contextmanager
    def _answering(self) -> Iterator[FileSystem]:
        try:
            yield self.remote()
        except OSError as problem:
            raise SourceUnavailableError(f"prediction log at {self.destination or self.folder}: {problem}") from problem


def _path(place: str, *parts: str) -> str:
    """Bucket and key, as pyarrow names them."""
    return "/".join([place.removeprefix("s3://"), *parts])
