"""Rules on objective and algorithms."""

from __future__ import annotations

from include.lifecycle.rules.view import Found, Rule, View

METRICS_OF = {
    "binary_classification": {"roc_auc", "average_precision", "brier_score", "log_loss", "accuracy", "f1"},
    "multiclass_classification": {
        *("log_loss", "brier_score", "accuracy", "f1_macro", "f1_weighted"),
        *("precision_macro", "precision_weighted", "recall_macro", "roc_auc_ovr"),
    },
    "regression": {"rmse", "mae", "r2", "median_absolute_error", "mape"},
}
ESTIMATORS_OF = {
    "binary_classification": {"logistic_regression", "random_forest", "hist_gradient_boosting", "lightgbm"},
    "multiclass_classification": {"logistic_regression", "random_forest", "hist_gradient_boosting", "lightgbm"},
    "regression": {"linear_regression", "random_forest", "hist_gradient_boosting", "lightgbm"},
}
_ANY_METRIC: set[str] = set().union(*METRICS_OF.values())
FEWEST_CLASSES = 3  # two are a binary classification
# least and greatest value of the metrics that are bounded; brier_score is a sum over classes where there are many
_WITHIN_ONE = (METRICS_OF["binary_classification"] | METRICS_OF["multiclass_classification"]) - {"log_loss", "brier_score"}
_ERRORS = {"log_loss", "brier_score", "rmse", "mae", "median_absolute_error", "mape"}


def _objective_fits(view: View) -> Found:
    task, metric, floor = (view.get(f"objective.{key}") for key in ("task", "metric", "floor"))
    fitting = METRICS_OF.get(task) if isinstance(task, str) else None
    if fitting and metric in _ANY_METRIC - fitting:
        yield ("objective", "metric"), f"{metric!r} does not measure {task}; allowed: {', '.join(sorted(fitting))}"
    if not isinstance(floor, int | float) or isinstance(floor, bool):
        return
    within_one = metric in _WITHIN_ONE or (metric == "brier_score" and task == "binary_classification")
    if within_one and not 0 <= floor <= 1:
        yield ("objective", "floor"), f"got {floor}; {metric} lies between 0 and 1"
    elif metric in _ERRORS and floor < 0:
        yield (
            ("objective", "floor"),
            f"got {floor}; {metric} is an error and is at least 0: the floor is the most that is allowed",
        )
    elif metric == "r2" and floor > 1:
        yield ("objective", "floor"), f"got {floor}; r2 is at most 1"


def _classes_fit(view: View) -> Found:
    task, classes = view.get("objective.task"), view.get("objective.classes")
    if not isinstance(classes, list) or task not in METRICS_OF:
        return
    if task != "multiclass_classification":
        if classes:
            yield ("objective", "classes"), f"a {task} has no classes to name; allowed: []"
        return
    if len(classes) < FEWEST_CLASSES:
        wanted = "multiclass_classification needs the target's classes by name, at least three (two are binary_classification)"
        yield ("objective", "classes"), f"got {len(classes)}; {wanted}"
    seen: set[str] = set()
    for path, name in view.texts("objective.classes"):
        if not name or name != name.strip():
            yield path, f"{name!r} is empty or has outer blanks, which a target never has after cleaning"
        if name in seen:
            yield path, f"{name!r} is listed already"
        seen.add(name)


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


RULES: tuple[Rule, ...] = (
    _objective_fits,
    _classes_fit,
    _estimators_fit,
)
