"""The file of the model servers' API keys, changed under a lock and replaced in one step; servers read it again by themselves.

The command `api-key` changes it for people; the serving check makes itself a key in it, since its requests come past the gateway.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from include.lifecycle.errors import SettingsError
from include.serving.api_keys import ApiKey, keys_text, new_key, read_keys
from include.settings import Settings

PROBE_CLIENT = "modelops-serving-check"


def change_keys(path: Path, change: Callable[[list[ApiKey]], list[ApiKey]]) -> list[ApiKey]:
    """Replace the file's keys by what `change` makes of them; a file that is not there yet has none.

    Raises SettingsError when the file is malformed or its folder cannot be written.
    """
    try:
        with _locked(path):
            keys = change(read_keys(path) if path.exists() else [])
            write_secret(path, keys_text(keys))
    except OSError as problem:
        raise SettingsError(f"API keys {path} cannot be written: {problem.strerror}") from problem
    return keys


def probe_headers(settings: Settings) -> dict[str, str]:
    """Request headers that let the serving check in; empty while no key file is set. Makes the check its key when it has none."""
    keys_file, own = settings.server_keys_file, settings.server_probe_key
    if keys_file is None or own is None:
        return {}
    if not own.exists():
        change_keys(keys_file, lambda keys: _with_probe_key(keys, own))
    return {"x-api-key": own.read_text(encoding="utf-8").strip()}


def _with_probe_key(keys: list[ApiKey], own: Path) -> list[ApiKey]:
    if own.exists():  # another process was faster
        return keys
    key, text = new_key(PROBE_CLIENT, now=datetime.now(UTC))
    own.parent.mkdir(parents=True, exist_ok=True)
    write_secret(own, text + "\n")
    return [*keys, key]


def write_secret(path: Path, text: str) -> None:
    """Replace `path` in one step by a file that only its owner may read (0600)."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
