"""How rules see the merged plain YAML: tolerant access, since what is missing or of a wrong type is pydantic's to name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from include.lifecycle.origins import KeyPath
from include.lifecycle.units import parse_duration

Found = Iterator[tuple[KeyPath, str]]


@dataclass(frozen=True)
class View:
    """The merged YAML of the model in file `<name>.yaml`, read tolerantly; SQL paths are below `sql_dir`."""

    name: str
    data: dict[str, Any]
    sql_dir: Path
    written: Callable[[KeyPath], bool] = lambda _: True
    """Whether the value at a path stands in the model's own file or its overlay, not in the defaults."""

    def get(self, key: str) -> Any:
        """Value at a dotted key, None where it is missing."""
        value: Any = self.data
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def blamed(self, *paths: KeyPath) -> KeyPath:
        """Of the keys that do not fit together the first that somebody wrote; the first when all are defaults."""
        return next((path for path in paths if self.written(path)), paths[0])

    def texts(self, key: str) -> list[tuple[KeyPath, str]]:
        """The texts of the list at `key`, each with its path."""
        value = self.get(key)
        items = value if isinstance(value, list) else []
        return [((*key.split("."), index), item) for index, item in enumerate(items) if isinstance(item, str)]

    @property
    def features(self) -> list[tuple[KeyPath, str]]:
        """All features with their paths."""
        return self.texts("features.numeric") + self.texts("features.categorical")

    @property
    def roles(self) -> dict[str, str]:
        """Column name by role: key, event_time, target."""
        named = {role: self.get(f"data.{role}") for role in ("key", "event_time", "target")}
        return {role: name for role, name in named.items() if isinstance(name, str)}


Rule = Callable[[View], Found]


def number(value: Any) -> float | None:
    """The value as a number, a duration in seconds; None when it is neither."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    try:
        return parse_duration(value).total_seconds() if isinstance(value, str) else None
    except ValueError:
        return None


def did_you_mean(got: str, known: set[str] | list[str]) -> str:
    """`; did you mean 'x'?` for the nearest known name, or nothing."""
    near = get_close_matches(got, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
