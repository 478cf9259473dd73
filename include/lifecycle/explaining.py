"""A spec for people: every effective value with the place where it was written.

`cli explain` prints it above the sentences of wording.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from include.lifecycle.availability import shown
from include.lifecycle.loading import LoadedModel
from include.lifecycle.origins import KeyPath, Layer, Node, dotted, plain
from include.lifecycle.spec_problems import section_at


@dataclass(frozen=True)
class Row:
    """One effective value: its key, the value as YAML writes it, where it stands, and in which layer."""

    key: str
    value: str
    origin: str
    layer: Layer


def rows(loaded: LoadedModel, home: Path) -> list[Row]:
    """All effective values in the order of the spec; a list is one row, or one row for each mapping in it."""
    leaves = _leaves(loaded.tree, ())
    return [Row(dotted(path), in_yaml(node), node.origin.shown(home), node.origin.layer) for path, node in leaves]


def in_yaml(node: Node) -> str:
    """A value in YAML's flow style."""
    return _flow(plain(node))


def _flow(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_flow(child)}" for name, child in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(child) for child in value) + "]"
    return shown(value, bare=True) or '""'


def _leaves(node: Node, path: KeyPath) -> Iterator[tuple[KeyPath, Node]]:
    children: list[tuple[str | int, Node]] = []
    if isinstance(node.value, dict):
        children = sorted(node.value.items(), key=_place(path))
    elif isinstance(node.value, list) and any(isinstance(item.value, dict) for item in node.value):
        children = list(enumerate(node.value))
    if not children or (path and isinstance(path[-1], int)):
        yield path, node
        return
    for name, child in children:
        yield from _leaves(child, (*path, name))


def _place(path: KeyPath) -> Callable[[tuple[str | int, Node]], int]:
    """Sort key that puts a section's keys into the spec's order; names that people chose stay as they are."""
    section = section_at(path)
    order = {name: index for index, name in enumerate(section.model_fields)} if section else {}
    return lambda item: order.get(str(item[0]), 0)
