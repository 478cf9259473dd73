"""Rules on what tuning searches, how it folds, and on the model's own training function."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from include.lifecycle.origins import KeyPath
from include.lifecycle.rules.view import Found, Rule, View, did_you_mean, number
from include.lifecycle.training.parameters import LEARNS_ON, PARAMETERS, Parameter

_ENTRY_POINT = re.compile(r"^([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)$")


def _search_is_known(view: View) -> Found:
    spaces = view.get("training.search")
    for family, space in spaces.items() if isinstance(spaces, dict) else ():
        path: KeyPath = ("training", "search", family)
        if family not in PARAMETERS:
            yield path, f"no algorithm {family!r}{did_you_mean(family, list(PARAMETERS))}; allowed: {', '.join(PARAMETERS)}"
            continue
        known = PARAMETERS[family]
        for name, value in space.items() if isinstance(space, dict) else ():
            if name not in known:
                yield (*path, name), f"{family} has no parameter {name!r}{did_you_mean(name, list(known))}; {_listed(known)}"
            elif name == "class_weight" and view.get("objective.task") == "regression":
                if view.get("training.estimators") and family in view.get("training.estimators"):
                    yield (*path, name), "a regression has no classes to weigh"
            else:
                yield from _value_fits((*path, name), known[name], value)


def _value_fits(path: KeyPath, known: Parameter, value: Any) -> Found:
    """A range, a list of choices, or one value, against what the library takes."""
    if isinstance(value, dict):
        yield from _range_fits(path, known, value)
    elif isinstance(value, list):
        if not value:
            yield path, "an empty list leaves nothing to choose from"
        for index, item in enumerate(value):
            if not known.takes(item):
                yield (*path, index), f"got {item!r}; allowed: {known.allowed()}"
            elif item in value[:index]:
                yield (*path, index), f"{item!r} is listed already"
    elif value is not None and not known.takes(value):
        yield path, f"got {value!r}; allowed: {known.allowed()}"


def _range_fits(path: KeyPath, known: Parameter, value: dict[str, Any]) -> Found:
    if known.kind in ("word", "bool"):
        yield path, f"takes no range; list what may be tried, or give one of: {known.allowed()}"
        return
    low, high = number(value.get("low")), number(value.get("high"))
    for name in ("low", "high", "start"):
        if (bound := number(value.get(name))) is not None and not known.takes(bound):
            yield (*path, name), f"got {value[name]!r}; allowed: {known.allowed()}"
    if low is not None and high is not None and low >= high:
        yield (*path, "low"), f"got {value['low']!r}; it must lie below high, {value['high']!r}"
    if value.get("log") is True and low is not None and low <= 0:
        yield (*path, "low"), f"got {value['low']!r}; with log: true it must lie above 0"


def _folding_fits(view: View) -> Found:
    kind, group = view.get("training.folding.kind"), view.get("training.folding.group_by")
    if kind == "group" and group is None:
        yield ("training", "folding", "kind"), "kind group needs group_by, the column that names the group"
    if kind != "group" and group is not None:
        yield ("training", "folding", "group_by"), f"kind {kind} groups by nothing; leave group_by out, or say kind: group"
    if group is not None and group in (view.get("data.target"), view.get("data.event_time")):
        yield ("training", "folding", "group_by"), f"{group!r} is the target or the event time and no group"
    if kind != "forward" and view.get("training.folding.gap") is not None:
        yield ("training", "folding", "gap"), f"kind {kind} knows no time; only kind forward leaves a gap"
    if kind == "stratified" and view.get("objective.task") == "regression":
        yield ("training", "folding", "kind"), "a regression has no classes to stratify; allowed: forward, group, k_fold"


def _numbers_rise(view: View) -> Found:
    interval, grace = number(view.get("training.heartbeat.interval")), number(view.get("training.heartbeat.grace"))
    if interval is not None and (interval < 1 or interval != int(interval)):
        yield ("training", "heartbeat", "interval"), "allowed: whole seconds, at least 1s"
    if grace is not None and grace != int(grace):
        yield ("training", "heartbeat", "grace"), "allowed: whole seconds"
    if interval is not None and grace is not None and grace < 2 * interval:
        yield ("training", "heartbeat", "grace"), f"got {view.get('training.heartbeat.grace')}; at least twice the interval"
    warmup, folds = view.get("training.pruning.warmup_folds"), view.get("training.folds")
    if isinstance(warmup, int) and isinstance(folds, int) and warmup >= folds:
        yield ("training", "pruning", "warmup_folds"), f"got {warmup}; of {folds} folds none could stop a trial"


def _method_fits(view: View) -> Found:
    if view.get("training.method") != "incremental":
        return
    if isinstance(view.get("training.entry_point"), str):
        yield ("training", "method"), "training.entry_point trains by itself; only method full goes with it"
        return
    cannot = [name for _, name in view.texts("training.estimators") if name in PARAMETERS and name not in LEARNS_ON]
    if cannot:
        able = ", ".join(LEARNS_ON)
        yield ("training", "method"), f"{', '.join(cannot)} cannot learn on from new rows alone; incremental works for {able}"


def _entry_point_exists(view: View) -> Found:
    said = view.get("training.entry_point")
    if not isinstance(said, str):
        return
    path: KeyPath = ("training", "entry_point")
    match = _ENTRY_POINT.match(said)
    if match is None:
        yield path, f"got {said!r}; allowed: package.module:function, such as include.training.churn:train"
        return
    module, function = match.groups()
    file = module_file(view.sql_dir.parent.parent, module)
    if file is None:
        yield (
            path,
            f"no module {module!r} in this project; allowed: a Python file below include, such as include/training/churn.py",
        )
        return
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as problem:
        yield path, f"{file.name} is no readable Python: {problem}"
        return
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    if function not in names:
        yield path, f"{file.name} defines no function {function!r} at its top{did_you_mean(function, names)}"


def module_file(home: Path, module: str) -> Path | None:
    """The source of a project's module below `include`, found without importing it; None when it is elsewhere or nowhere."""
    parts = module.split(".")
    if parts[0] != "include" or len(parts) < 2:
        return None
    base = home.joinpath(*parts)
    return next((file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()), None)


def _listed(known: dict[str, Parameter]) -> str:
    return f"allowed: {', '.join(known)}"


RULES: tuple[Rule, ...] = (
    _search_is_known,
    _folding_fits,
    _numbers_rise,
    _method_fits,
    _entry_point_exists,
)
