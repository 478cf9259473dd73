"""One served version on disk: `serving.json` (what the server must know), `manifest.json` (sha256 of each other file), the model.

Registration writes it, the model server verifies it before it loads anything. Standard library only: it is on the start path.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from include.lifecycle.errors import ArtefactDigestError, LifecycleError

MANIFEST = "manifest.json"
SERVING = "serving.json"
GOLDEN = "golden.json"
MODEL_FILES = {"onnx": "model.onnx", "sklearn": "model.skops"}
DATATYPES = {"numeric": "FP64", "categorical": "BYTES"}
MISSING_CATEGORY = "missing"  # what a null category is fed as; training prepares its columns the same way


class VersionFolderInvalidError(LifecycleError):
    """A version folder has the right digests but cannot be served: `serving.json` is malformed or the model does not load."""


@dataclass(frozen=True)
class InputColumn:
    """One feature: kind `numeric` (FP64) or `categorical` (BYTES), and the categories that training saw (None: not told)."""

    name: str
    kind: Literal["numeric", "categorical"]
    nullable: bool = True
    known: tuple[str, ...] | None = None

    @property
    def datatype(self) -> str:
        """The column's Open Inference Protocol datatype."""
        return DATATYPES[self.kind]


@dataclass(frozen=True)
class ServingSpec:
    """Content of `serving.json`. `key` and `event_time` name optional extra inputs that are logged and not fed to the model.

    `hashed` columns hold keyed hashes: the server hashes them before it feeds or logs them. `transformer` is the function of
    `transformer.py` that makes `features`, which the model reads, of `inputs`, which a request holds.
    """

    model: str
    version: int
    task: str
    engine: Literal["onnx", "sklearn"]
    key: str
    event_time: str
    target: str
    classes: tuple[Any, ...]
    inputs: tuple[InputColumn, ...]
    hashed: tuple[str, ...] = ()
    transformer: str | None = None
    features: tuple[InputColumn, ...] = ()

    @property
    def model_columns(self) -> tuple[InputColumn, ...]:
        """What the model file itself reads: the transformer's features, else the inputs."""
        return self.features if self.transformer else self.inputs

    @property
    def numeric(self) -> list[str]:
        """Names of the numeric columns, in the order of `inputs`."""
        return [column.name for column in self.inputs if column.kind == "numeric"]

    @property
    def categorical(self) -> list[str]:
        """Names of the categorical columns, in the order of `inputs`."""
        return [column.name for column in self.inputs if column.kind == "categorical"]

    def to_json(self) -> str:
        """The file's text; stable, so that the same spec has the same digest."""
        inputs = [{**asdict(column), "datatype": column.datatype} for column in self.inputs]
        return json.dumps({**asdict(self), "inputs": inputs}, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> ServingSpec:
        """Parse `serving.json`; raise VersionFolderInvalidError naming what is wrong."""
        try:
            raw = json.loads(text)
            inputs = tuple(_input_column(column) for column in raw["inputs"])
            names = ("model", "task", "engine", "key", "event_time", "target")
            strings = {name: str(raw[name]) for name in names}
            if strings["engine"] not in MODEL_FILES:
                raise ValueError(f"engine {strings['engine']!r}; allowed: {', '.join(MODEL_FILES)}")
            more: dict[str, Any] = {
                "classes": tuple(raw["classes"] or ()),
                "hashed": tuple(map(str, raw.get("hashed", ()))),
                "transformer": raw.get("transformer"),
                "features": tuple(_input_column(column) for column in raw.get("features", ())),
            }
            return cls(version=int(raw["version"]), inputs=inputs, **strings, **more)  # type: ignore[arg-type]
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            raise VersionFolderInvalidError(f"{SERVING}: {problem!r}") from problem


def _input_column(raw: dict[str, Any]) -> InputColumn:
    name, kind, known = raw["name"], raw["kind"], raw.get("known")
    if kind not in DATATYPES:
        raise ValueError(f"input {name!r} has kind {kind!r}; allowed: {', '.join(DATATYPES)}")
    if raw.get("datatype", DATATYPES[kind]) != DATATYPES[kind]:
        raise ValueError(f"input {name!r} of kind {kind} has datatype {raw['datatype']!r}; allowed: {DATATYPES[kind]}")
    return InputColumn(name, kind, bool(raw.get("nullable", True)), None if known is None else tuple(map(str, known)))


def read_spec(folder: Path) -> ServingSpec:
    """Read a folder's `serving.json`; raise VersionFolderInvalidError when it is missing or malformed."""
    try:
        return ServingSpec.from_json((folder / SERVING).read_bytes())
    except OSError as problem:
        raise VersionFolderInvalidError(f"{folder / SERVING}: {problem.strerror}") from problem


def write_manifest(folder: Path) -> str:
    """Write `manifest.json` over all files below `folder` and return the manifest's own sha256 (hex): the version's identity."""
    files = {name: _sha256(folder / name) for name in sorted(_names(folder))}
    content = json.dumps({"files": files}, indent=1, sort_keys=True).encode() + b"\n"
    temporary = folder / f".{MANIFEST}.tmp"
    temporary.write_bytes(content)
    temporary.replace(folder / MANIFEST)
    return hashlib.sha256(content).hexdigest()


def verify(folder: Path, digest: str) -> None:
    """Raise ArtefactDigestError unless the manifest has this sha256 and lists exactly the present files with their sha256."""
    listed = _verified_manifest(folder, digest)
    present = set(_names(folder))
    if extra := sorted(present - listed.keys()):
        raise ArtefactDigestError(f"{folder}: {', '.join(extra)} not listed in {MANIFEST}; only listed files are allowed")
    if missing := sorted(listed.keys() - present):
        raise ArtefactDigestError(f"{folder}: {', '.join(missing)} listed in {MANIFEST} but missing")
    for name, expected in sorted(listed.items()):
        if (got := _sha256(folder / name)) != expected:
            raise ArtefactDigestError(f"{folder / name} has sha256 {got}; {MANIFEST} says {expected}")


def _verified_manifest(folder: Path, digest: str) -> dict[str, str]:
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise ArtefactDigestError(f"{path}: {problem.strerror}; a version folder without manifest is never loaded") from problem
    if (got := hashlib.sha256(content).hexdigest()) != digest.lower():
        raise ArtefactDigestError(f"{path} has sha256 {got}; expected {digest}")
    try:
        return {str(name): str(value) for name, value in json.loads(content)["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ArtefactDigestError(f"{path}: no manifest ({problem!r}); expected an object with `files`") from problem


def _names(folder: Path) -> Iterator[str]:
    """Names of all files below the folder but the manifest, relative with `/`; links and devices are refused, not followed."""
    for base, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(base, name)
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise ArtefactDigestError(f"{path} is no regular file; links are not allowed in a version folder")
        yield from (relative for name in files if (relative := Path(base, name).relative_to(folder).as_posix()) != MANIFEST)


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
