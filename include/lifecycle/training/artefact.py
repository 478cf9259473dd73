"""The fitted pipeline as a file: skops format, read back only when its digest is right and its types are trusted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from include.lifecycle.errors import ArtefactDigestError
from include.lifecycle.storage import sha256_of
from include.serving.trusted_types import load_trusted
from include.serving.version_folder import VersionFolderInvalidError

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

MODEL_FILE: Final = "model.skops"


def save_pipeline(pipeline: Pipeline, folder: Path) -> str:
    """Write `model.skops` into `folder` and return its sha256."""
    import skops.io

    path = folder / MODEL_FILE
    skops.io.dump(pipeline, path)
    return sha256_of(path)


def load_pipeline(folder: Path, digest: str) -> Pipeline:
    """Read `model.skops` of `folder`.

    Raises:
        ArtefactDigestError: the file is missing, is not the one with this sha256, or holds types that are not trusted.
    """
    path = folder / MODEL_FILE
    if not path.is_file():
        raise ArtefactDigestError(f"{path} does not exist")
    if (got := sha256_of(path)) != digest:
        raise ArtefactDigestError(f"{path} has sha256 {got}, expected {digest}")
    try:
        return load_trusted(path)
    except VersionFolderInvalidError as problem:
        raise ArtefactDigestError(str(problem)) from problem
