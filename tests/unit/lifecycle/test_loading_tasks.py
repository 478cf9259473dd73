"""What a YAML may say of its task: metrics, floors, classes and algorithms that fit each other, and the task in words."""

from __future__ import annotations

import pytest

from include.lifecycle.loading import load_model
from include.lifecycle.wording import in_words
from tests.unit.lifecycle.conftest import CHURN

HEAD = CHURN.partition("objective:")[0]
REGRESSION = "task: regression, metric: rmse, floor: 9"
MULTI = "task: multiclass_classification, metric: log_loss, floor: 0.9"
TREES = "training: {estimators: [random_forest, lightgbm]}"


def yaml_of(objective: str, *more: str) -> str:
    return HEAD + "\n".join([f"objective: {{{objective}}}", *(more or [TREES])]) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        yaml_of(REGRESSION),
        yaml_of(REGRESSION, "training: {estimators: [linear_regression, hist_gradient_boosting]}"),
        yaml_of("task: regression, metric: r2, floor: -0.5"),
        yaml_of("task: regression, metric: mape, floor: 1.5"),
        yaml_of(f"{MULTI}, classes: [stay, leave, pause]"),
        yaml_of("task: multiclass_classification, metric: roc_auc_ovr, floor: none, classes: ['1', '2', '3']"),
        yaml_of("task: binary_classification, metric: log_loss, floor: 0.6", "training: {estimators: [lightgbm]}"),
    ],
)
def test_what_fits_is_loaded(project, text):
    project.write(text)
    assert load_model("churn", settings=project.settings).objective.floor is not None


WRONG = [
    ("task: regression, metric: roc_auc, floor: none", "'roc_auc' does not measure regression; allowed: mae, mape, median_"),
    ("task: regression, metric: rmse, floor: -1", "got -1; rmse is an error and is at least 0: the floor is the most that is"),
    ("task: regression, metric: r2, floor: 1.1", "got 1.1; r2 is at most 1"),
    (f"{REGRESSION}, classes: [a, b, c]", "a regression has no classes to name; allowed: []"),
    (f"{MULTI}, classes: [a, b]", "got 2; multiclass_classification needs the target's classes by name, at least three"),
    (f"{MULTI}, classes: [a, b, a]", "'a' is listed already"),
    (f"{MULTI}, classes: [a, b, ' c']", "' c' is empty or has outer blanks"),
    (f"{MULTI}, classes: [a, b, 3]", "objective.classes[2]: got 3; allowed: text"),
    ("task: multiclass_classification, metric: f1, floor: none, classes: [a, b, c]", "'f1' does not measure multiclass_"),
    ("task: multiclass_classification, metric: f1_macro, floor: 2, classes: [a, b, c]", "f1_macro lies between 0 and 1"),
]


@pytest.mark.parametrize(("objective", "told"), WRONG)
def test_what_does_not_fit_is_named(project, objective, told):
    (problem,) = project.problems(yaml_of(objective))
    assert told in problem


def test_an_algorithm_that_cannot_learn_the_task_is_named(project):
    (problem,) = project.problems(yaml_of(REGRESSION, "training: {estimators: [lightgbm, logistic_regression]}"))
    assert "'logistic_regression' cannot learn regression; allowed: hist_gradient_boosting, lightgbm, linear_" in problem
    (problem,) = project.problems(
        yaml_of("task: binary_classification, metric: f1, floor: 0.5", "training: {estimators: [linear_regression]}")
    )
    assert "'linear_regression' cannot learn binary_classification" in problem


@pytest.mark.parametrize(
    ("rollout", "told"),
    [
        (
            "{strategy: shadow}",
            "rollout.shadow.tolerance: got 0, so two versions would agree only where they predict the very same",
        ),
        ("{ab_test: {metric: success}}", "got 'success', but a regression makes no decisions; allowed: loss, business"),
    ],
)
def test_a_regression_is_compared_by_numbers(project, rollout, told):
    linear = "training: {estimators: [linear_regression]}"
    (problem,) = project.problems(yaml_of(REGRESSION, f"{linear}\nrollout: {rollout}"))
    assert told in problem


def test_the_words_name_the_tasks_own_measures(project):
    project.write(yaml_of(REGRESSION))
    words = dict(in_words(load_model("churn", settings=project.settings)))
    assert "By rmse (lower is better)" in words["Judgement"]
    assert "Never rolled out above 9." in words["Judgement"]
    assert "decays when its rmse grew by 5%" in words["Monitoring"]
    assert "0.05 standard deviations of the outcome" in words["Monitoring"]
    project.write(yaml_of(f"{MULTI}, classes: [stay, leave, pause]"))
    words = dict(in_words(load_model("churn", settings=project.settings)))
    assert "lost 5% of its skill" in words["Monitoring"]
    assert "a class's mean probability" in words["Monitoring"]
