"""New data that a person supplies to one training (its conf's `data`): files below an allowed place, in place of the source."""

from __future__ import annotations

from pathlib import Path

from include.lifecycle.errors import SpecInvalidError
from include.settings import Settings

GIVEN = "data"
"""Key of a training's overrides, and of its conf."""

_ENDINGS = {".parquet": "parquet", ".csv": "csv"}


def given_format(path: str) -> str:
    """Format of given files by their ending; a folder holds Parquet."""
    return _ENDINGS.get(Path(path).suffix.lower(), "parquet")


def check_given(path: str, settings: Settings, where: str) -> str:
    """`path` in its plain spelling if it lies below a folder or prefix of MODELOPS_TRAINING_DATA.

    Raises:
        SpecInvalidError: it lies elsewhere; the message says what is allowed.
    """
    plain = path if path.startswith("s3://") else str(Path(path).resolve())
    for allowed in settings.training_data:
        below = allowed if allowed.startswith("s3://") else str(Path(allowed).resolve())
        if ".." not in Path(path).parts and (plain == below or plain.startswith(below.rstrip("/") + "/")):
            return plain
    raise SpecInvalidError(
        f"{where}: data: got {path!r}; allowed: files below {', '.join(settings.training_data)} (MODELOPS_TRAINING_DATA)"
    )
