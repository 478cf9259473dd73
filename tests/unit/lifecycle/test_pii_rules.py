"""What may be hashed or dropped, as lint tells it."""

from __future__ import annotations

import pytest

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.loading import load_model
from tests.unit.lifecycle.conftest import CHURN, Project


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("{age: {pii: drop}}", "columns.age.pii: got 'drop'; 'age' is a column that the model or its judgement reads"),
        ("{age: {pii: hash}}", "columns.age.pii: got 'hash'; 'age' is a numeric feature, and a hash is no number"),
        ("{left: {pii: hash}}", "columns.left.pii: got 'hash'; 'left' is data.target, which is kept as it is"),
        ("{seen_at: {pii: drop}}", "columns.seen_at.pii: got 'drop'; 'seen_at' is data.event_time, which is kept as it is"),
        ("{customer: {pii: drop}}", "columns.customer.pii: got 'drop'; 'customer' is data.key"),
        ("{email: {drift: ignore}}", "columns.email: 'email' is no column of this model"),
    ],
)
def test_what_a_model_needs_is_kept(project: Project, columns: str, told: str):
    (problem,) = project.problems(f"{CHURN}columns: {columns}\n")
    assert problem == f"churn.yaml:9:{problem.split(':')[2]}: {told}"


def test_a_column_that_only_the_judgement_reads_is_kept(project: Project):
    project.write(f"{CHURN}columns: {{region: {{pii: drop}}}}\nevaluation: {{fairness: {{attributes: [region]}}}}\n")
    with pytest.raises(SpecInvalidError, match=r"columns\.region\.pii: got 'drop'; 'region' is a column that the model or"):
        load_model("churn", settings=project.settings)


def test_key_categories_and_other_columns_may_be_protected(project: Project):
    project.write(f"{CHURN}columns: {{customer: {{pii: hash}}, plan: {{pii: hash}}, email: {{pii: drop}}}}\n")
    spec = load_model("churn", settings=project.settings)
    assert [(name, column.pii) for name, column in spec.columns.items()] == [
        ("customer", "hash"),
        ("plan", "hash"),
        ("email", "drop"),
    ]


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ("{expect_column_values_to_be_in_set: {column: plan, value_set: [a]}}", "'plan' is hashed before it is checked"),
        ("{expect_column_values_to_not_be_null: {column: email}}", "'email' is dropped"),
        ("{expect_column_values_to_not_be_null: {column: plan}}", None),
        ("{expect_column_values_to_be_between: {column: age, min_value: 0}}", None),
    ],
)
def test_expectations_see_hashes(project: Project, item: str, told: str | None):
    text = CHURN.replace("target: left}", f"target: left, expectations: [{item}]}}")
    text += "columns: {plan: {pii: hash}, email: {pii: drop}}\n"
    if told is None:
        project.write(text)
        assert load_model("churn", settings=project.settings).data.expectations
    else:
        (problem,) = project.problems(text)
        assert told in problem


@pytest.mark.parametrize(
    ("item", "where", "told"),
    [
        ("{expect_colum: {column: age}}", "data.expectations[0]", "unknown expectation 'expect_colum'; did you mean"),
        (
            "{expect_column_values_to_be_between: {column: age, min_valu: 1}}",
            "data.expectations[0].expect_column_values_to_be_between.min_valu",
            "has no argument 'min_valu'; did you mean 'min_value'?",
        ),
        (
            "{type: expect_column_values_to_be_between, column: age, mostly: 90}",
            "data.expectations[0].mostly",
            "mostly is 90; allowed: 0 to 1",
        ),
    ],
)
def test_expectations_are_checked_at_lint_with_line_and_column(project: Project, item: str, where: str, told: str):
    text = CHURN.replace("target: left}", f"target: left, expectations: [{item}]}}")
    (problem,) = project.problems(text)
    place, _, rest = problem.partition(": ")
    assert place.startswith("churn.yaml:5:")
    assert rest.startswith(where)
    assert told in rest
