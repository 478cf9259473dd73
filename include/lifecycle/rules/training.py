"""Rules on objective and algorithms."""

from __future__ import annotations

from include.lifecycle.rules.view import Found, Rule, View

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


RULES: tuple[Rule, ...] = (
    _objective_fits,
    _estimators_fit,
)
