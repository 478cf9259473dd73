"""Rules on a model's own feature code: where it stands, what it defines, and which columns it reads."""

from __future__ import annotations

import ast

from include.lifecycle.data.transformer_source import source_problem
from include.lifecycle.rules.view import Found, Rule, View, did_you_mean


def _transformer_is_there(view: View) -> Found:
    """The file is read, never executed: a Dag file is parsed every half minute."""
    path, named = ("features", "transformer"), view.get("features.transformer")
    if not isinstance(named, str) or named.count(":") != 1:
        return
    module, function = named.split(":")
    folder = view.sql_dir.parent / "features"
    file = folder / f"{module}.py"
    if not file.is_file():
        there = [one.stem for one in folder.glob("*.py") if one.stem != "__init__"]
        yield path, f"no such file: include/features/{module}.py{did_you_mean(module, there)}"
        return
    text = file.read_text(encoding="utf-8", errors="replace")
    if problem := source_problem(text, function):
        yield path, f"include/features/{module}.py: {problem}{did_you_mean(function, _functions(text))}"


def _functions(text: str) -> list[str]:
    try:
        return [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    except SyntaxError:
        return []


def _inputs_belong_to_a_transformer(view: View) -> Found:
    inputs = [*view.texts("features.inputs.numeric"), *view.texts("features.inputs.categorical")]
    if view.get("features.transformer") is None:
        if inputs:
            yield ("features", "inputs"), "without features.transformer the features themselves are read; leave inputs out"
        return
    if not inputs:
        told = "its inputs are not named; list the columns that it reads in features.inputs, under numeric or categorical"
        yield ("features", "transformer"), told
    seen: set[str] = set()
    for path, name in inputs:
        if name in seen:
            yield path, f"{name!r} is an input already"
        if name in (view.get("data.target"), view.get("data.event_time")):
            yield path, f"{name!r} is data.{'target' if name == view.get('data.target') else 'event_time'} and cannot be an input"
        seen.add(name)


RULES: tuple[Rule, ...] = (
    _transformer_is_there,
    _inputs_belong_to_a_transformer,
)
