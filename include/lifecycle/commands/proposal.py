"""Settings that a command tries without anybody writing them into the model's YAML: a file laid over it, or single keys.

Shared by simulate and replay-thresholds. The proposal goes through the loader like any overlay: types, bounds and rules hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from include.lifecycle.errors import LifecycleError, SettingsError, SpecInvalidError
from include.lifecycle.rules.view import did_you_mean
from include.settings import Settings

SECTIONS = ("monitoring", "retraining")
"""Sections whose name may be left out in `--set`."""


@contextmanager
def overlaid(settings: Settings, model: str, text: str | None) -> Iterator[Settings]:
    """The settings with this YAML as the model's overlay, in place of any other; unchanged without a text.

    A SpecInvalidError from within names the proposal instead of the file that stood for it.
    """
    if text is None:
        yield settings
        return
    with TemporaryDirectory(prefix="modelops-policy-") as folder:
        file = Path(folder) / f"{model}.yaml"
        file.write_text(text, encoding="utf-8")
        try:
            yield replace(settings, overlay=Path(folder))
        except SpecInvalidError as problem:  # the file is gone before anybody could look at it
            raise SpecInvalidError(re.sub(rf"{re.escape(str(file))}(:\d+:\d+)?", "as proposed", str(problem))) from None


def policy_text(policy: Path | None) -> str | None:
    """The text of `--policy FILE`; LifecycleError when it cannot be read."""
    if policy is None:
        return None
    try:
        return policy.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise LifecycleError(f"--policy {policy} cannot be read: {problem}") from problem


def with_keys(settings: Settings, model: str, policy: str | None, sets: Sequence[str], known: Sequence[str]) -> str:
    """The model's present overlay, then `policy`, then `sets` (KEY=VALUE), as one YAML text. `known`: all keys, with dots.

    Raises SettingsError for a text that is no KEY=VALUE, and for a key that there is not or that is short for two.
    """
    tree: dict[str, Any] = {}
    file = settings.overlay / f"{model}.yaml" if settings.overlay else None
    for text in (file.read_text(encoding="utf-8") if file and file.is_file() else None, policy):
        tree = _merged(tree, _mapping(text))
    for assigned in sets:
        key, sign, value = assigned.partition("=")
        if not sign or not key.strip():
            raise SettingsError(f"--set {assigned!r}: allowed is KEY=VALUE, such as drift.minimum_effect=0.2")
        tree = _merged(tree, _nested(_full(key.strip(), known), _value(assigned, value)))
    return yaml.safe_dump(tree, sort_keys=False)


def _full(key: str, known: Sequence[str]) -> str:
    if key in known:
        return key
    found = [full for section in SECTIONS if (full := f"{section}.{key}") in known]
    if len(found) > 1:
        raise SettingsError(f"--set {key}: short for {' and '.join(found)}; write one of them")
    if not found:
        short = [name.removeprefix(f"{section}.") for section in SECTIONS for name in known if name.startswith(f"{section}.")]
        raise SettingsError(f"--set {key}: there is no such key{did_you_mean(key, [*known, *short])}")
    return found[0]


def _value(assigned: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as problem:
        raise SettingsError(f"--set {assigned!r}: the value is no YAML: {problem}") from None


def _mapping(text: str | None) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text) if text else {}
    except yaml.YAMLError as problem:
        raise LifecycleError(f"the policy is no YAML: {problem}") from None
    if found is not None and not isinstance(found, dict):
        raise LifecycleError(f"the policy is a {type(found).__name__}; allowed: a mapping of keys, as in a model's YAML")
    return found or {}


def _nested(key: str, value: Any) -> dict[str, Any]:
    first, dot, rest = key.partition(".")
    return {first: _nested(rest, value) if dot else value}


def _merged(base: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    found = dict(base)
    for name, value in above.items():
        both = isinstance(value, dict) and isinstance(found.get(name), dict)
        found[name] = _merged(found[name], value) if both else value
    return found
