"""Rules on gates."""

from __future__ import annotations

from collections import Counter

from include.lifecycle.origins import KeyPath
from include.lifecycle.rules.view import Found, Rule, View, did_you_mean

# What evaluation/metrics.py knows, by task (a test holds them equal): rules are read where NumPy is not.
METRIC_NAMES = {
    "binary_classification": (
        "roc_auc",
        "average_precision",
        "brier_score",
        "log_loss",
        "accuracy",
        "precision",
        "recall",
        "f1",
        "calibration_error",
    ),
    "multiclass_classification": (
        "log_loss",
        "brier_score",
        "accuracy",
        "f1_macro",
        "f1_weighted",
        "precision_macro",
        "precision_weighted",
        "recall_macro",
        "roc_auc_ovr",
    ),
    "regression": ("rmse", "mae", "r2", "median_absolute_error", "mape"),
}


def _attributes_can_be_groups(view: View) -> Found:
    roles = {name: role for role, name in view.roles.items()}
    for path, name in [*view.texts("evaluation.fairness.attributes"), *intersection_columns(view)]:
        if name in roles:
            yield path, f"{name!r} is data.{roles[name]} and forms no groups"


def intersection_columns(view: View) -> list[tuple[KeyPath, str]]:
    """The columns of `evaluation.fairness.intersections`, each with its path."""
    base: KeyPath = ("evaluation", "fairness", "intersections")
    lists = view.get(".".join(map(str, base)))
    pairs = enumerate(lists) if isinstance(lists, list) else ()
    return [
        ((*base, at, place), name)
        for at, names in pairs
        if isinstance(names, list)
        for place, name in enumerate(names)
        if isinstance(name, str)
    ]


def _floors_are_metrics(view: View) -> Found:
    floors, task = view.get("evaluation.floors"), view.get("objective.task")
    known = METRIC_NAMES.get(task, ()) if isinstance(task, str) else ()
    for name in floors if isinstance(floors, dict) and known else ():
        if name not in known:
            hint = did_you_mean(name, list(known))
            yield ("evaluation", "floors", name), f"{name!r} is no metric of {task}{hint}; allowed: {', '.join(known)}"


def _entity_needs_its_blocks(view: View) -> Found:
    if view.get("evaluation.entity") is not None and view.get("evaluation.resample_by") == "day":
        yield ("evaluation", "entity"), "is read only when evaluation.resample_by is entity"


def _business_is_one_thing(view: View) -> Found:
    business = view.get("evaluation.business")
    if not isinstance(business, dict):
        return
    expression, function = business.get("expression"), business.get("function")
    if expression is not None and function is not None:
        yield ("evaluation", "business", "function"), "stands beside evaluation.business.expression; one of both is allowed"
    if expression is None and function is None:
        for key in ("floor", "margin"):
            if business.get(key) is not None:
                yield ("evaluation", "business", key), "needs evaluation.business.expression or .function"
    elif business.get("floor") is None and business.get("margin") is None:
        yield ("evaluation", "business"), "asks for nothing; set floor, margin or both"
    if isinstance(function, str) and function.count(":") != 1:
        yield ("evaluation", "business", "function"), f"got {function!r}; it is module:function, such as features.churn:cost"


def _slices_have_their_own_names(view: View) -> Found:
    slices = view.get("evaluation.slices")
    found = [one.get("name") for one in slices if isinstance(one, dict)] if isinstance(slices, list) else []
    for name, times in Counter(name for name in found if isinstance(name, str)).items():
        if times > 1:
            yield ("evaluation", "slices"), f"{times} slices are called {name!r}; names must differ"


RULES: tuple[Rule, ...] = (
    _attributes_can_be_groups,
    _floors_are_metrics,
    _entity_needs_its_blocks,
    _business_is_one_thing,
    _slices_have_their_own_names,
)
