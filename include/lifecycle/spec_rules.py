"""Rules between the keys of one model's YAML, checked on the merged plain data so that all problems are told at once.

Each rule tolerates what is missing or of a wrong type (pydantic names that) and yields the key and one sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from include.lifecycle.origins import KeyPath
from include.lifecycle.units import parse_duration

Found = Iterator[tuple[KeyPath, str]]

_PROBABILITY = {"roc_auc", "average_precision", "brier_score", "log_loss", "accuracy", "f1"}
_REGRESSION = {"rmse", "mae", "r2"}
METRICS_OF = {
    "binary_classification": _PROBABILITY,
    "multiclass_classification": {"log_loss", "accuracy", "f1"},
    "regression": _REGRESSION,
}
ESTIMATORS_OF = {
    "binary_classification": {"logistic_regression", "random_forest", "hist_gradient_boosting", "lightgbm"},
    "multiclass_classification": {"logistic_regression", "random_forest", "hist_gradient_boosting", "lightgbm"},
    "regression": {"linear_regression", "random_forest", "hist_gradient_boosting", "lightgbm"},
}
_WITHIN_ONE = _PROBABILITY - {"log_loss"}
WINDOW_BINDS = (":window_start", ":window_end")
# Pairs that must rise: the first may not be above the second.
_ASCENDING = (
    ("data.minimum_rows", "data.max_rows"),
    ("training.workers", "training.trials"),
    ("monitoring.drift.minimum_effect", "monitoring.drift.act_effect"),
    ("monitoring.performance.warn", "monitoring.performance.act"),
    ("monitoring.performance.act", "monitoring.performance.concept"),
    ("retraining.confirm.windows", "retraining.confirm.of"),
    ("rollout.poll", "rollout.lease"),
)


@dataclass(frozen=True)
class View:
    """The merged YAML of the model in file `<name>.yaml`, read tolerantly; SQL paths are below `sql_dir`."""

    name: str
    data: dict[str, Any]
    sql_dir: Path

    def get(self, key: str) -> Any:
        """Value at a dotted key, None where it is missing."""
        value: Any = self.data
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value

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


def broken_rules(view: View) -> Found:
    """Every rule's findings."""
    for rule in RULES:
        yield from rule(view)


def _name_is_the_file(view: View) -> Found:
    name = view.get("name")
    if isinstance(name, str) and name != view.name:
        yield ("name",), f"got {name!r}; it must equal the file's name, {view.name!r}"


def _features_are_features(view: View) -> Found:
    if not view.features and isinstance(view.get("features"), dict):
        yield ("features",), "no feature is named; list at least one under numeric or categorical"
    role_of = {name: role for role, name in view.roles.items()}
    seen: dict[str, KeyPath] = {}
    for path, name in view.features:
        if name in role_of:
            yield path, f"{name!r} is data.{role_of[name]} and cannot be a feature"
        if name in seen:
            yield path, f"{name!r} is a feature already, in features.{seen[name][1]}"
        seen.setdefault(name, path)


def _roles_are_distinct(view: View) -> Found:
    seen: dict[str, str] = {}
    for role, name in view.roles.items():
        if name in seen:
            yield ("data", role), f"{name!r} is data.{seen[name]} already"
        seen.setdefault(name, role)


def _columns_are_known(view: View) -> Found:
    known = {name for _, name in view.features} | set(view.roles.values())
    known |= {name for _, name in view.texts("evaluation.fairness.attributes")}
    columns = view.get("columns")
    for name in columns if isinstance(columns, dict) else ():
        if name not in known:
            yield ("columns", name), f"{name!r} is no column of this model{did_you_mean(name, known)}"


def _attributes_can_be_groups(view: View) -> Found:
    roles = {name: role for role, name in view.roles.items()}
    for path, name in view.texts("evaluation.fairness.attributes"):
        if name in roles:
            yield path, f"{name!r} is data.{roles[name]} and forms no groups"


def _sql_exists(view: View) -> Found:
    for key in ("data.query", "labels.query"):
        query = view.get(key)
        if not isinstance(query, str):
            continue
        path = tuple(key.split("."))
        if Path(query).is_absolute() or ".." in Path(query).parts:
            yield path, f"got {query!r}; allowed: a path below include/sql"
        elif not (view.sql_dir / query).is_file():
            there = [str(file.relative_to(view.sql_dir)) for file in view.sql_dir.glob("**/*.sql")]
            yield path, f"no such file: include/sql/{query}{did_you_mean(query, there)}"
        elif key == "data.query":
            text = (view.sql_dir / query).read_text(encoding="utf-8", errors="replace")
            if missing := [name for name in WINDOW_BINDS if name not in text]:
                yield path, f"include/sql/{query} does not use {' and '.join(missing)}; it would read beyond its window"


def _objective_fits(view: View) -> Found:
    task, metric, floor = (view.get(f"objective.{key}") for key in ("task", "metric", "floor"))
    fitting = METRICS_OF.get(task) if isinstance(task, str) else None
    if fitting and isinstance(metric, str) and metric in _PROBABILITY | _REGRESSION and metric not in fitting:
        yield ("objective", "metric"), f"{metric!r} does not measure {task}; allowed: {', '.join(sorted(fitting))}"
    if metric in _WITHIN_ONE and isinstance(floor, int | float) and not 0 <= floor <= 1:
        yield ("objective", "floor"), f"got {floor}; {metric} lies between 0 and 1"


def _estimators_fit(view: View) -> Found:
    task = view.get("objective.task")
    fitting = ESTIMATORS_OF.get(task) if isinstance(task, str) else None
    known: set[str] = set().union(*ESTIMATORS_OF.values())
    seen: set[str] = set()
    for path, name in view.texts("training.estimators"):
        if fitting and name in known - fitting:
            yield path, f"{name!r} cannot learn {task}; allowed: {', '.join(sorted(fitting))}"
        if name in seen:
            yield path, f"{name!r} is listed already"
        seen.add(name)


def _pairs_rise(view: View) -> Found:
    for low, high in _ASCENDING:
        first, second = _number(view.get(low)), _number(view.get(high))
        if first is not None and second is not None and first > second:
            yield tuple(low.split(".")), f"got {view.get(low)}; it must not be above {high}, {view.get(high)}"


def _expectations_have_a_name(view: View) -> Found:
    listed = view.get("data.expectations")
    for index, item in enumerate(listed if isinstance(listed, list) else ()):
        if not isinstance(item, dict) or item.keys() & {"type", "name"}:
            continue
        name, arguments = next(iter(item.items()), ("", None))
        if len(item) != 1 or not name.startswith("expect_") or not isinstance(arguments, dict):
            allowed = "one expectation with its arguments, such as {expect_column_values_to_not_be_null: {column: age}}"
            yield ("data", "expectations", index), f"got {', '.join(item) or 'nothing'}; allowed: {allowed}"


def _number(value: Any) -> float | None:
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


RULES: tuple[Callable[[View], Found], ...] = (
    _name_is_the_file,
    _roles_are_distinct,
    _features_are_features,
    _columns_are_known,
    _attributes_can_be_groups,
    _sql_exists,
    _objective_fits,
    _estimators_fit,
    _pairs_rise,
    _expectations_have_a_name,
)
