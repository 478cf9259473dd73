"""Rules on names, roles and pairs of keys that hold for every model."""

from __future__ import annotations

from include.lifecycle.alerting.kinds import PLATFORM
from include.lifecycle.origins import KeyPath
from include.lifecycle.rules.evaluation import intersection_columns
from include.lifecycle.rules.pii import treatments
from include.lifecycle.rules.view import Found, Rule, View, did_you_mean, number

# Pairs that must rise: the first may not be above the second.
_ASCENDING = (
    ("data.minimum_rows", "data.max_rows"),
    ("training.workers", "training.trials"),
    ("monitoring.drift.minimum_effect", "monitoring.drift.act_effect"),
    ("monitoring.performance.warn", "monitoring.performance.act"),
    ("monitoring.performance.act", "monitoring.performance.concept"),
    ("retraining.confirm.windows", "retraining.confirm.of"),
    ("rollout.poll", "rollout.lease"),
    ("rollout.ab_test.at_least", "rollout.ab_test.at_most"),
)


def _name_is_the_file(view: View) -> Found:
    name = view.get("name")
    if isinstance(name, str) and name != view.name:
        yield ("name",), f"got {name!r}; it must equal the file's name, {view.name!r}"
    if view.name == PLATFORM:
        yield ("name",), f"got {PLATFORM!r}; alerts about no model have this name, allowed: any other"


def _roles_are_distinct(view: View) -> Found:
    seen: dict[str, str] = {}
    for role, name in view.roles.items():
        if name in seen:
            yield ("data", role), f"{name!r} is data.{seen[name]} already"
        seen.setdefault(name, role)


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


def _columns_are_known(view: View) -> Found:
    known = {name for _, name in view.features} | set(view.roles.values())
    known |= {name for key in ("numeric", "categorical") for _, name in view.texts(f"features.inputs.{key}")}
    known |= {name for _, name in view.texts("evaluation.fairness.attributes")}
    known |= {name for _, name in intersection_columns(view)} | {str(view.get("evaluation.entity"))}
    columns = view.get("columns")
    for name in columns if isinstance(columns, dict) else ():
        if name not in known and name not in treatments(view):  # hashed and dropped columns may be any that the query returns
            yield ("columns", name), f"{name!r} is no column of this model{did_you_mean(name, known)}"


def _pairs_rise(view: View) -> Found:
    for low, high in _ASCENDING:
        first, second = number(view.get(low)), number(view.get(high))
        if first is not None and second is not None and first > second:
            path = view.blamed(tuple(low.split(".")), tuple(high.split(".")))
            if path == tuple(low.split(".")):
                yield path, f"got {view.get(low)}; it must not be above {high}, {view.get(high)}"
            else:
                yield path, f"got {view.get(high)}; it must not be below {low}, {view.get(low)}"


RULES: tuple[Rule, ...] = (
    _name_is_the_file,
    _roles_are_distinct,
    _features_are_features,
    _columns_are_known,
    _pairs_rise,
)
