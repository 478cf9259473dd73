"""Secrets that another system shares with us, each in a file of its own: read when they are asked for, so that a new one needs no
restart."""

from __future__ import annotations

from pathlib import Path

from include.lifecycle.errors import SettingsError

_SHORTEST = 16


def read_shared_secret(file: Path, setting: str, without: str, *, what: str = "secret") -> str:
    """The secret in `file`, which `setting` names; `without`: what does not happen while there is none.

    Raises SettingsError (the file's name, never its content) when it cannot be read, or is too short to protect anything.
    """
    try:
        secret = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise SettingsError(f"{setting} {file}: {type(problem).__name__}; {without}") from None
    if len(secret) < _SHORTEST:
        raise SettingsError(f"{setting} {file}: a {what} has at least {_SHORTEST} characters")
    return secret
