"""YAML with a memory: each value knows file, line, column and layer it came from, through merging and up to the error message.

First step of loading.py. Reads by YAML 1.2's rules for plain words: `off`, `no` and `12:30` are text, only `true` and `false` are
booleans; duplicate keys are problems, not overrides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

Layer = Literal["default", "model", "overlay"]
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """A place in a YAML file; line and column count from 1."""

    file: Path
    line: int
    column: int
    layer: Layer

    def shown(self, home: Path) -> str:
        """`file:line:column`, the file relative to `home` where it lies below it."""
        file = self.file.relative_to(home) if self.file.is_relative_to(home) else self.file
        return f"{file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, at which key, and what (one sentence)."""

    origin: Origin
    path: KeyPath
    text: str

    def shown(self, home: Path) -> str:
        """The line that a person reads."""
        return f"{self.origin.shown(home)}: {f'{dotted(self.path)}: ' if self.path else ''}{self.text}"


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its origin: a mapping of Nodes, a list of Nodes, or a scalar. `key` is where its key stands."""

    value: Any
    origin: Origin
    key: Origin | None = None


class _Loader(yaml.CSafeLoader):
    """libyaml's parser with YAML 1.2 plain scalars."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - pyyaml's own class attribute


_INTEGER = re.compile(r"^[-+]?(?:0|[1-9][0-9_]*)$")
_FLOAT = re.compile(r"^[-+]?(?:(?:[0-9][0-9_]*\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|)$"), ["~", "n", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INTEGER, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"^<<$"), ["<"])


def read_yaml(file: Path, layer: Layer) -> tuple[Node, list[Problem]]:
    """Read one file into a mapping Node; problems are syntax errors, duplicate keys, and anything that is no mapping."""
    start = Origin(file, 1, 1, layer)
    try:
        text = file.read_text(encoding="utf-8")
        loader = _Loader(text)
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        where = Origin(file, mark.line + 1, mark.column + 1, layer) if mark else start
        return Node({}, start), [Problem(where, (), f"not valid YAML: {problem.problem or problem.context}")]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        return Node({}, start), [Problem(start, (), f"cannot be read: {' '.join(str(problem).split())}")]
    if root is None:
        return Node({}, start), []
    builder = _Builder(loader, file, layer, [])
    node = builder.build(root, (), ())
    if not isinstance(node.value, dict):
        return Node({}, start), [*builder.problems, Problem(node.origin, (), "the file must hold a mapping of keys")]
    return node, builder.problems


@dataclass
class _Builder:
    """Turns pyyaml's nodes into ours, collecting problems on the way."""

    loader: _Loader
    file: Path
    layer: Layer
    problems: list[Problem]

    def build(self, node: yaml.Node, path: KeyPath, above: Sequence[yaml.Node], key: Origin | None = None) -> Node:
        origin = self._origin(node)
        if any(node is other for other in above):
            return self._broken(origin, path, "an alias must not contain itself")
        above = [*above, node]
        if isinstance(node, yaml.MappingNode):
            return Node(self._mapping(node, path, above), origin, key)
        if isinstance(node, yaml.SequenceNode):
            items = [self.build(child, (*path, index), above) for index, child in enumerate(node.value)]
            return Node(items, origin, key)
        try:
            return Node(self.loader.construct_object(node), origin, key)
        except (yaml.YAMLError, ValueError) as problem:
            return self._broken(origin, path, f"not valid YAML: {getattr(problem, 'problem', None) or problem}")

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, above: Sequence[yaml.Node]) -> dict[str, Node]:
        self._refuse_duplicates(node, path)
        try:
            self.loader.flatten_mapping(node)
        except (yaml.YAMLError, RecursionError) as problem:
            self._broken(self._origin(node), path, f"not valid YAML: {getattr(problem, 'problem', None) or problem}")
            return {}
        built: dict[str, Node] = {}
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._broken(self._origin(key), path, "a key must be plain text")
                continue
            built[key.value] = self.build(child, (*path, key.value), above, self._origin(key))
        return built

    def _refuse_duplicates(self, node: yaml.MappingNode, path: KeyPath) -> None:
        first: dict[str, yaml.Node] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag.endswith(":merge"):
                continue
            if key.value in first:
                text = f"duplicate key; it stands in line {first[key.value].start_mark.line + 1} already"
                self._broken(self._origin(key), (*path, key.value), text)
            first.setdefault(key.value, key)

    def _broken(self, origin: Origin, path: KeyPath, text: str) -> Node:
        self.problems.append(Problem(origin, path, text))
        return Node(None, origin)

    def _origin(self, node: yaml.Node) -> Origin:
        mark = node.start_mark
        return Origin(self.file, mark.line + 1, mark.column + 1, self.layer)


def merge(lower: Node, upper: Node) -> Node:
    """`upper` over `lower`: mappings merge deeply, anything else (lists too) replaces. An empty section changes nothing."""
    if not isinstance(lower.value, dict):
        return upper
    if upper.value is None:
        return Node(lower.value, upper.origin, upper.key)
    if not isinstance(upper.value, dict):
        return upper
    merged = dict(lower.value)
    for name, node in upper.value.items():
        merged[name] = merge(merged[name], node) if name in merged else node
    return Node(merged, upper.origin, upper.key)


def plain(node: Node) -> Any:
    """The bare data: dicts, lists and scalars."""
    if isinstance(node.value, dict):
        return {name: plain(child) for name, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return node.value


def find(node: Node, path: KeyPath) -> tuple[Node, KeyPath]:
    """Walk `path` as far as it exists; the Node reached and the part of the path that was walked."""
    for depth, part in enumerate(path):
        children = node.value
        if isinstance(children, dict) and part in children:
            node = children[str(part)]
        elif isinstance(children, list) and isinstance(part, int) and part < len(children):
            node = children[part]
        else:
            return node, path[:depth]
    return node, path


def dotted(path: KeyPath) -> str:
    """`rollout.steps[0].percent`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
