"""YAML in, ModelSpec out: `_defaults.yaml` < `<model>.yaml` < overlay, with each value's origin and all problems at once.

The first stop of every Dag file, operator and command. Imports nothing heavy: Airflow parses every model's file with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from include.lifecycle.availability import unavailable
from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.origins import KeyPath, Layer, Node, Origin, Problem, find, merge, plain, read_yaml
from include.lifecycle.rules.view import View, did_you_mean
from include.lifecycle.spec import ModelSpec
from include.lifecycle.spec_problems import type_problems
from include.lifecycle.spec_rules import broken_rules
from include.settings import PROJECT_ROOT, Settings
from include.settings import settings as default_settings

DEFAULTS = "_defaults.yaml"
EVERY_COLUMN = "*"


@dataclass(frozen=True)
class LoadedModel:
    """A valid spec with the merged tree behind it, which knows each effective value's origin."""

    spec: ModelSpec
    tree: Node

    def origin(self, path: KeyPath) -> Origin:
        """Where the effective value at `path` was written."""
        return find(self.tree, path)[0].origin


class LoadedModels(dict[str, ModelSpec]):
    """Valid specs by model name; the models that could not be loaded stand apart in `broken`."""

    broken: dict[str, SpecInvalidError]

    def __init__(self) -> None:
        super().__init__()
        self.broken = {}


def load_model(name: str, *, settings: Settings | None = None) -> ModelSpec:
    """The effective spec of one model; raises SpecInvalidError that lists every problem with file, line and column."""
    return read_model(name, settings=settings).spec


def load_all(*, settings: Settings | None = None) -> LoadedModels:
    """Every model's spec; one broken YAML takes only its own model out (into `.broken`)."""
    models = LoadedModels()
    for name in model_names(settings=settings):
        try:
            models[name] = load_model(name, settings=settings)
        except SpecInvalidError as problem:
            models.broken[name] = problem
    return models


def model_names(*, settings: Settings | None = None) -> list[str]:
    """Names of all models, by their files, sorted. Files that start with `_` or `.` are none."""
    folder = (settings or default_settings()).models_dir
    return sorted(file.stem for file in folder.glob("*.yaml") if file.name[0] not in "_.")


def model_file(name: str, *, settings: Settings | None = None) -> Path:
    """A model's own YAML; raises SpecInvalidError, with the nearest name, when there is none."""
    configured = settings or default_settings()
    file = configured.models_dir / f"{name}.yaml"
    if not file.is_file():
        known = model_names(settings=configured)
        raise SpecInvalidError(f"no model {name!r}: {file} does not exist{did_you_mean(name, known)}")
    return file


def read_model(name: str, *, settings: Settings | None = None) -> LoadedModel:
    """Like load_model, but keeps the origins."""
    configured = settings or default_settings()
    tree, problems = _merged(name, configured)
    if unreadable := [problem for problem in problems if not problem.path]:
        raise SpecInvalidError(_message(name, unreadable, configured.home))
    data = plain(tree)
    spec, found = _validated(name, data, tree, configured)
    problems += found
    if spec is None or problems:
        raise SpecInvalidError(_message(name, problems, configured.home))
    return LoadedModel(spec, tree)


def defaults_tree(settings: Settings | None = None) -> Node:
    """The defaults as one tree; raises SpecInvalidError when they are broken YAML."""
    configured = settings or default_settings()
    own = configured.models_dir / DEFAULTS
    file = own if own.is_file() else PROJECT_ROOT / "include" / "models" / DEFAULTS
    tree, problems = _read_once(file, "default", file.stat().st_mtime_ns)
    if problems:
        raise SpecInvalidError(_message(DEFAULTS, list(problems), configured.home))
    return tree


def _merged(name: str, configured: Settings) -> tuple[Node, list[Problem]]:
    file = model_file(name, settings=configured)
    model, problems = _read_once(file, "model", file.stat().st_mtime_ns)
    tree, found = merge(_without_wildcard(defaults_tree(configured)), model), list(problems)
    if configured.overlay and not configured.overlay.is_dir():
        raise SpecInvalidError(f"MODELOPS_OVERLAY is {configured.overlay}; allowed: a folder that exists, or leave it unset")
    overlay_file = configured.overlay / f"{name}.yaml" if configured.overlay else None
    if overlay_file and overlay_file.is_file():
        overlay, more = _read_once(overlay_file, "overlay", overlay_file.stat().st_mtime_ns)
        tree, found = merge(tree, overlay), [*found, *more]
    return _with_column_defaults(tree, defaults_tree(configured)), found


def _validated(name: str, data: dict[str, Any], tree: Node, configured: Settings) -> tuple[ModelSpec | None, list[Problem]]:
    spec, problems = None, []
    top = Origin(configured.models_dir / f"{name}.yaml", 1, 1, "model")
    try:
        spec = ModelSpec.model_validate(data)
    except ValidationError as error:
        problems = type_problems(error, tree, top)
    taken = {problem.path for problem in problems}
    view = View(name, data, configured.sql_dir, lambda path: _is_written(tree, path))
    rules = [*broken_rules(view), *unavailable(data, plain(defaults_tree(configured)))]
    for path, text in rules:
        if path not in taken:
            taken.add(path)
            origin = find(tree, path)[0].origin
            problems.append(Problem(top if origin.layer == "default" else origin, path, text))
    return spec, problems


def _is_written(tree: Node, path: KeyPath) -> bool:
    node, walked = find(tree, path)
    return walked == path and node.origin.layer != "default"


def _without_wildcard(defaults: Node) -> Node:
    columns = defaults.value.get("columns")
    if columns is None or not isinstance(columns.value, dict):
        return defaults
    named = {name: node for name, node in columns.value.items() if name != EVERY_COLUMN}
    return Node({**defaults.value, "columns": Node(named, columns.origin, columns.key)}, defaults.origin)


def _with_column_defaults(tree: Node, defaults: Node) -> Node:
    start, walked = find(defaults, ("columns", EVERY_COLUMN))
    columns = tree.value.get("columns")
    if len(walked) < 2 or columns is None or not isinstance(columns.value, dict):
        return tree
    filled = {name: merge(start, node) for name, node in columns.value.items()}
    return Node({**tree.value, "columns": Node(filled, columns.origin, columns.key)}, tree.origin)


@lru_cache(maxsize=64)
def _read_once(file: Path, layer: Layer, _mtime: int) -> tuple[Node, tuple[Problem, ...]]:
    node, problems = read_yaml(file, layer)
    return node, tuple(problems)


def _message(name: str, problems: list[Problem], home: Path) -> str:
    places = {problem: (_RANK[problem.origin.layer], problem.origin.line, problem.origin.column) for problem in problems}
    unique = sorted(places, key=lambda problem: places[problem])
    count = "1 problem" if len(unique) == 1 else f"{len(unique)} problems"
    return "\n".join([f"{name}: {count}", *(problem.shown(home) for problem in unique)])


_RANK: dict[Layer, int] = {"model": 0, "overlay": 1, "default": 2}
