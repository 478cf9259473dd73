"""Keyed hashes in place of personal data: the same value gives the same hash in training tables, requests, log and labels.

HMAC-SHA-256 (RFC 2104) under a secret of the installation: without the key, a hash cannot be found by hashing guesses. Standard
library only: the model server loads it.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from pathlib import Path

from include.lifecycle.errors import SettingsError

PREFIX = "hmac:"
_HEX = 32  # 128 bits: two of a billion values share a hash with probability 1e-21
_HASH = re.compile(rf"{PREFIX}[0-9a-f]{{{_HEX}}}")
MINIMUM_KEY_BYTES = 32


class KeyedHash:
    """Replaces texts by their keyed hash."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @property
    def key_id(self) -> str:
        """Eight hex digits that tell two keys apart and nothing about them."""
        return hmac.digest(self._key, b"modelops key id", "sha256").hex()[:8]

    def __call__(self, text: str | None) -> str | None:
        """`hmac:` and 32 hex digits; outer blanks do not count, blank is null, and a hash stays what it is."""
        value = (text or "").strip()
        if not value or _HASH.fullmatch(value):
            return value or None
        return PREFIX + hmac.digest(self._key, value.encode(), "sha256").hex()[:_HEX]

    def all(self, texts: Iterable[str | None]) -> list[str | None]:
        """The hash of each text."""
        known: dict[str | None, str | None] = {}
        return [known[text] if text in known else known.setdefault(text, self(text)) for text in texts]


def read_key(path: Path) -> KeyedHash:
    """The hash under the key in `path`; SettingsError when the file cannot be read or is too short to be a secret."""
    try:
        key = path.read_bytes().strip()
    except OSError as problem:
        raise SettingsError(f"key for hashed columns {path}: {problem.strerror}; MODELOPS_PII_KEY_FILE names it") from None
    if len(key) < MINIMUM_KEY_BYTES:
        raise SettingsError(f"key for hashed columns {path}: {len(key)} bytes; at least {MINIMUM_KEY_BYTES} are needed")
    return KeyedHash(key)
