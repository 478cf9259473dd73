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
from include.serving.version_folder import ServingSpec, VersionFolderInvalidError

_HEX = 24  # 96 bits: among a billion values two share a hash with probability 6e-12
_HASH = re.compile(rf"hmac-([0-9a-f]{{8}})-[0-9a-f]{{{_HEX}}}")
MINIMUM_KEY_BYTES = 32


class KeyedHash:
    """Replaces texts by their keyed hash."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.key_id = hmac.digest(key, b"modelops key id", "sha256").hex()[:8]
        """Eight hex digits that tell two keys apart and nothing about them; they stand in each hash."""

    def __call__(self, text: str | None) -> str | None:
        """`hmac-<key id>-` and 24 hex digits; outer blanks do not count, blank is null, and a hash stays what it is."""
        value = (text or "").strip()
        if not value or _HASH.fullmatch(value):
            return value or None
        return f"hmac-{self.key_id}-{hmac.digest(self._key, value.encode(), 'sha256').hex()[:_HEX]}"

    def all(self, texts: Iterable[str | None]) -> list[str | None]:
        """The hash of each text."""
        known: dict[str | None, str | None] = {}
        return [known[text] if text in known else known.setdefault(text, self(text)) for text in texts]


def key_id_of(text: str) -> str | None:
    """The key id that a hash names; None when the text is no hash."""
    found = _HASH.fullmatch(text)
    return found[1] if found else None


def read_key(path: Path) -> KeyedHash:
    """The hash under the key in `path`; SettingsError when the file cannot be read or is too short to be a secret."""
    try:
        key = path.read_bytes().strip()
    except OSError as problem:
        raise SettingsError(f"key for hashed columns {path}: {problem.strerror}; MODELOPS_PII_KEY_FILE names it") from None
    if len(key) < MINIMUM_KEY_BYTES:
        raise SettingsError(f"key for hashed columns {path}: {len(key)} bytes; at least {MINIMUM_KEY_BYTES} are needed")
    return KeyedHash(key)


def hash_for(spec: ServingSpec, key_file: Path | None) -> KeyedHash | None:
    """What a version's hashed columns are hashed by; None when it has none.

    Raises:
        VersionFolderInvalidError: no key file was given, or training hashed under another key.
        SettingsError: the file holds no usable key.
    """
    if not spec.hashed:
        return None
    if key_file is None:
        raise VersionFolderInvalidError(f"{', '.join(spec.hashed)} are hashed; --pii-key-file must name the key")
    keyed = read_key(key_file)
    for column in spec.inputs:
        ids = {key_id_of(value) for value in column.known or ()} if column.name in spec.hashed else set()
        if others := ids - {keyed.key_id, None}:
            told = f"{column.name} was hashed under key {', '.join(map(str, others))} in training; {key_file} is {keyed.key_id}"
            raise VersionFolderInvalidError(told)
    return keyed
