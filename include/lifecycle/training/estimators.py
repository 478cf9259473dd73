"""The model families: one unfitted scikit-learn estimator per family and task. pipelines.py puts the columns before it.

Everything random starts at `training.seed`; nothing takes more threads than `training.threads`: a training can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from include.lifecycle.spec import ModelSpec

LINEAR = frozenset({"logistic_regression", "linear_regression"})  # scaled numbers and one-hot categories


def estimator_of(spec: ModelSpec, algorithm: str, params: dict[str, Any]) -> Any:
    """The unfitted estimator of a family for the model's task, with these parameters; KeyError for an unknown family."""
    return _FAMILIES[algorithm](spec, params)


def _regresses(spec: ModelSpec) -> bool:
    return spec.objective.task == "regression"


def _logistic_regression(spec: ModelSpec, params: dict[str, Any]) -> Any:
    """Multinomial where there are more than two classes."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=300, random_state=spec.training.seed, **params)


def _linear_regression(spec: ModelSpec, params: dict[str, Any]) -> Any:
    """Ridge: least squares stays stable when one-hot columns of rare categories nearly repeat each other."""
    from sklearn.linear_model import Ridge

    return Ridge(random_state=spec.training.seed, **params)


def _random_forest(spec: ModelSpec, params: dict[str, Any]) -> Any:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    family = RandomForestRegressor if _regresses(spec) else RandomForestClassifier
    return family(n_jobs=spec.training.threads, random_state=spec.training.seed, **params)


def _hist_gradient_boosting(spec: ModelSpec, params: dict[str, Any]) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    family = HistGradientBoostingRegressor if _regresses(spec) else HistGradientBoostingClassifier
    return family(early_stopping=False, random_state=spec.training.seed, **params)


def _lightgbm(spec: ModelSpec, params: dict[str, Any]) -> Any:
    """`deterministic` with `force_row_wise`: the same rows give the same trees (LightGBM's own advice for both)."""
    from lightgbm import LGBMClassifier, LGBMRegressor

    family = LGBMRegressor if _regresses(spec) else LGBMClassifier
    fixed = {"deterministic": True, "force_row_wise": True, "verbosity": -1}
    return family(n_jobs=spec.training.threads, random_state=spec.training.seed, **fixed, **params)


_FAMILIES: dict[str, Callable[[ModelSpec, dict[str, Any]], Any]] = {
    "logistic_regression": _logistic_regression,
    "linear_regression": _linear_regression,
    "random_forest": _random_forest,
    "hist_gradient_boosting": _hist_gradient_boosting,
    "lightgbm": _lightgbm,
}
