"""The one table of settings whose behaviour is narrower than the YAML's language: refused by name, never ignored.

Read by loading.py after types are right, by the schema (editors offer only what works) and by the docs. A row goes when its
behaviour arrives.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from include.lifecycle.origins import KeyPath
from include.lifecycle.units import parse_duration

DEFAULT_ONLY: Final = "DEFAULT_ONLY"

# Key (with * for any name or list item) -> the values that work now; DEFAULT_ONLY: only the value in _defaults.yaml.
AVAILABLE: Final[dict[str, tuple[Any, ...] | str]] = {
    "serving": ("online",),
    "data.sample_by": ("key",),
}


def allowed_now(path: KeyPath) -> tuple[Any, ...] | None:
    """The values of `path` that work now; None when the table sets no bound of its own."""
    found = _row(path)
    return found if isinstance(found, tuple) else None


def default_only(path: KeyPath) -> bool:
    """Whether only the value in _defaults.yaml works now."""
    return _row(path) == DEFAULT_ONLY


def unavailable(data: dict[str, Any], defaults: dict[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Each value in `data` (plain merged YAML) whose behaviour does not exist yet, with the sentence that refuses it."""
    for pattern, allowed in AVAILABLE.items():
        for path, value in _matches(data, pattern.split(".")):
            if isinstance(allowed, str):
                if not _same(value, default := _at(defaults, path)):
                    yield path, f"{shown(value)} is not available yet; allowed now: {shown(default)} (the default)"
            elif value not in allowed:
                yield (
                    path,
                    f"{shown(value)} is not available yet; allowed now: {', '.join(shown(item, bare=True) for item in allowed)}",
                )


def shown(value: Any, *, bare: bool = False) -> str:
    """A value as a person writes it in YAML: null, true, [], text in quotes unless `bare`; big things by their kind."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value if bare else repr(value)
    if isinstance(value, dict):
        return "a mapping" if value else "{}"
    return repr(value) if len(repr(value)) <= 60 else f"a list of {len(value)}"


def _row(path: KeyPath) -> tuple[Any, ...] | str | None:
    return next((values for pattern, values in AVAILABLE.items() if _fits(pattern, path)), None)


def _fits(pattern: str, path: KeyPath) -> bool:
    parts = pattern.split(".")
    return len(parts) == len(path) and all(want in ("*", got) for want, got in zip(parts, path, strict=True))


def _matches(data: Any, parts: list[str], walked: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    if not parts:
        yield walked, data
        return
    here: list[tuple[str | int, Any]] = []
    if isinstance(data, dict):
        here = [(name, child) for name, child in data.items() if parts[0] in ("*", name)]
    elif isinstance(data, list) and parts[0] == "*":
        here = list(enumerate(data))
    for name, child in here:
        yield from _matches(child, parts[1:], (*walked, name))


def _at(data: Any, path: KeyPath) -> Any:
    for part in path:
        data = data.get(part) if isinstance(data, dict) else None
    return data


def _same(value: Any, default: Any) -> bool:
    if value == default or not (isinstance(value, str) and isinstance(default, str)):
        return bool(value == default)
    try:
        return parse_duration(value) == parse_duration(default)
    except ValueError:
        return False
