"""Per-client API keys: a JSON file of hashes that the server reads, and reads again when it changed. No key stands in it.

A key is 256 random bits, so one SHA-256 hides it: there is nothing to guess, and a slow hash would only cost each request.
Standard library only: the model server and the command `api-key` load it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from include.lifecycle.errors import SettingsError
from include.serving.tensor_checks import RequestRefusedError

logger = logging.getLogger(__name__)

EVERY_MODEL = "*"
LOOK_SECONDS = 1.0  # how often a request may look whether the file changed
_KEY = re.compile(r"mok-([0-9a-f]{8})-[A-Za-z0-9_-]{43}")
_CLIENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True)
class ApiKey:
    """One client's key as the file holds it: hash, models it is good for (`*`: all), times as ISO 8601 in UTC."""

    id: str
    client: str
    sha256: str
    models: tuple[str, ...]
    created: str
    expires: str | None = None
    revoked: str | None = None

    def state(self, now: datetime) -> str:
        """`active`, `revoked` or `expired`."""
        if self.revoked:
            return "revoked"
        return "expired" if self.expires and datetime.fromisoformat(self.expires) <= now else "active"


def new_key(
    client: str, models: Sequence[str] = (EVERY_MODEL,), *, now: datetime, expires: datetime | None = None
) -> tuple[ApiKey, str]:
    """A key for `client`: what the file holds, and the key itself, which is told once. SettingsError for a name that is none."""
    if not _CLIENT.fullmatch(client):
        raise SettingsError(f"client {client!r}; allowed: letters, digits, '.', '_' and '-', up to 63, a letter or digit first")
    identity = secrets.token_hex(4)
    text = f"mok-{identity}-{secrets.token_urlsafe(32)}"
    until = expires.astimezone(UTC).isoformat(timespec="seconds") if expires else None
    return ApiKey(identity, client, _hash(text), tuple(models), now.astimezone(UTC).isoformat(timespec="seconds"), until), text


def revoked(keys: Iterable[ApiKey], identity: str, now: datetime) -> list[ApiKey]:
    """The keys with the one of this id revoked; SettingsError when there is none. One that is revoked stays as it is."""
    found = list(keys)
    if identity not in {key.id for key in found}:
        raise SettingsError(f"no API key has the id {identity!r}; known: {', '.join(key.id for key in found) or 'none'}")
    at = now.astimezone(UTC).isoformat(timespec="seconds")
    return [replace(key, revoked=key.revoked or at) if key.id == identity else key for key in found]


def read_keys(path: Path) -> list[ApiKey]:
    """The file's keys; SettingsError when it cannot be read or is malformed."""
    try:
        rows = json.loads(path.read_bytes())["keys"]
        keys = [ApiKey(**{**row, "models": tuple(row["models"])}) for row in rows]
        for key in keys:
            key.state(datetime.now(UTC))
    except OSError as problem:
        raise SettingsError(f"API keys {path}: {problem.strerror}; MODELOPS_SERVER_KEYS_FILE names the file") from None
    except (ValueError, KeyError, TypeError) as problem:
        raise SettingsError(f"API keys {path}: {problem!r}; expected what `api-key create` writes") from None
    return keys


def keys_text(keys: Iterable[ApiKey]) -> str:
    """The file's content."""
    return json.dumps({"keys": [asdict(key) for key in keys]}, indent=1) + "\n"


class KeyRefusedError(RequestRefusedError):
    """A request without a key that is good here; `client` is whose key it was, empty when that is not known."""

    def __init__(self, status: int, message: str, client: str = "") -> None:
        super().__init__(status, message, ((b"www-authenticate", b'Bearer realm="modelops"'),) if status == 401 else ())
        self.client = client


class KeyRing:
    """The keys of one file, for one model. A file that can no longer be read leaves the keys of before in force, and is told."""

    def __init__(self, path: Path, model: str) -> None:
        self._path, self._model = path, model
        self._stamp = self._stamp_now()
        self._keys = {key.sha256: key for key in read_keys(path)}
        self._look_at = time.monotonic() + LOOK_SECONDS

    def client(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Whose key a request carries, in `Authorization: Bearer KEY` or `x-api-key: KEY`.

        Raises KeyRefusedError: 401 without a key, or with one that is unknown, revoked or expired; 403 when it is good for other
        models only.
        """
        if time.monotonic() >= self._look_at:
            self._look_again()
        text = _key_of(headers)
        if not text:
            raise KeyRefusedError(401, "an API key is needed: `Authorization: Bearer KEY` or `x-api-key: KEY`")
        key = self._known(text) if _KEY.fullmatch(text) else None
        if key is None:
            raise KeyRefusedError(401, "this API key is unknown")
        if (key.revoked or key.expires) and (state := key.state(datetime.now(UTC))) != "active":
            raise KeyRefusedError(401, f"API key {key.id} is {state}", key.client)
        if self._model not in key.models and EVERY_MODEL not in key.models:
            raise KeyRefusedError(
                403, f"API key {key.id} is not for model {self._model}; allowed: {', '.join(key.models)}", key.client
            )
        return key.client

    def _known(self, text: str) -> ApiKey | None:
        """The file's key; one that is not known may be new, so the file is looked at once more."""
        digest = _hash(text)
        if digest not in self._keys:
            self._look_again()
        return self._keys.get(digest)

    def _stamp_now(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _look_again(self) -> None:
        self._look_at = time.monotonic() + LOOK_SECONDS
        stamp = self._stamp_now()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = {key.sha256: key for key in read_keys(self._path)}
            logger.info("API keys were read again: %d", len(self._keys))
        except SettingsError as problem:
            logger.error("%s; the keys of before stay in force", problem)


def _key_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"x-api-key":
            return value.decode("latin-1").strip()
        if name == b"authorization":
            scheme, _, rest = value.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer":
                return rest.strip()
    return ""


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
