"""Rules on columns with personal data: what a model needs cannot be dropped, and only text can be hashed."""

from __future__ import annotations

from include.lifecycle.data.expectation_names import name_and_arguments
from include.lifecycle.rules.evaluation import intersection_columns
from include.lifecycle.rules.view import Found, Rule, View

# What can be told of hashes: that they are there, how many, and whether they repeat.
_ON_HASHES = (
    "expect_column_to_exist",
    "expect_column_values_to_be_null",
    "expect_column_values_to_not_be_null",
    "expect_column_values_to_be_unique",
    "expect_column_unique_value_count_to_be_between",
    "expect_column_proportion_of_unique_values_to_be_between",
    "expect_column_proportion_of_non_null_values_to_be_between",
)


def treatments(view: View) -> dict[str, str]:
    """Columns that are hashed or dropped."""
    columns = view.get("columns")
    found = {
        name: column.get("pii")
        for name, column in (columns.items() if isinstance(columns, dict) else ())
        if isinstance(column, dict)
    }
    return {name: pii for name, pii in found.items() if pii in ("hash", "drop")}


def _needed_columns_stay(view: View) -> Found:
    numeric = {name for key in ("features.numeric", "features.inputs.numeric") for _, name in view.texts(key)}
    needed = {name for _, name in view.features} | {name for _, name in view.texts("features.inputs.categorical")} | numeric
    needed |= {name for _, name in view.texts("evaluation.fairness.attributes")} | {
        name for _, name in intersection_columns(view)
    }
    needed |= {str(view.get(key)) for key in ("data.sample_by", "evaluation.entity", "training.folding.group_by")}
    role_of = {name: role for role, name in view.roles.items()}
    for name, treatment in treatments(view).items():
        path = ("columns", name, "pii")
        role = role_of.get(name)
        if role in ("event_time", "target"):
            yield path, f"got {treatment!r}; {name!r} is data.{role}, which is kept as it is"
        elif treatment == "drop" and (role or name in needed):
            yield path, f"got 'drop'; {name!r} is {f'data.{role}' if role else 'a column that the model or its judgement reads'}"
        elif treatment == "hash" and name in numeric:
            yield path, f"got 'hash'; {name!r} is a numeric feature, and a hash is no number"


def _expectations_see_hashes(view: View) -> Found:
    treated = treatments(view)
    listed = view.get("data.expectations")
    for index, item in enumerate(listed if treated and isinstance(listed, list) else ()):
        try:
            name, arguments = name_and_arguments(item) if isinstance(item, dict) else ("", {})
        except ValueError:
            continue
        column = arguments.get("column")
        treatment = treated.get(column) if isinstance(column, str) else None
        if treatment == "drop":
            yield (
                ("data", "expectations", index),
                f"{column!r} is dropped (columns.{column}.pii), so nothing can be expected of it",
            )
        elif treatment == "hash" and name not in _ON_HASHES:
            told = f"{column!r} is hashed before it is checked (columns.{column}.pii); allowed on hashes: {', '.join(_ON_HASHES)}"
            yield ("data", "expectations", index), told


RULES: tuple[Rule, ...] = (
    _needed_columns_stay,
    _expectations_see_hashes,
)
