"""Every family on every task that it can learn: specs, rows with nulls and rare categories, small parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from include.lifecycle.rules.training import ESTIMATORS_OF
from include.lifecycle.spec import ModelSpec
from tests.unit.lifecycle.training.spec_for_tests import make_spec

CLASSES = ["early", "late", "on time"]
OBJECTIVES: dict[str, dict[str, Any]] = {
    "binary_classification": {"task": "binary_classification", "metric": "roc_auc", "floor": "none"},
    "multiclass_classification": {
        "task": "multiclass_classification",
        "metric": "log_loss",
        "floor": "none",
        "classes": CLASSES,
    },
    "regression": {"task": "regression", "metric": "rmse", "floor": "none"},
}
PARAMS: dict[str, dict[str, Any]] = {
    "logistic_regression": {"C": 0.1},
    "linear_regression": {"alpha": 1.0},
    "random_forest": {"n_estimators": 20, "max_depth": 7, "min_samples_leaf": 5},
    "hist_gradient_boosting": {"max_iter": 30, "learning_rate": 0.1, "min_samples_leaf": 20},
    "lightgbm": {"n_estimators": 30, "learning_rate": 0.1, "min_child_samples": 20},
}
CASES = [(task, family) for task, families in ESTIMATORS_OF.items() for family in sorted(families)]


def spec_of(task: str, **over: Any) -> ModelSpec:
    """The tests' model `trips` with this task; its target is `late`."""
    return make_spec(**({"objective": OBJECTIVES[task]} | over))


def trips(task: str, rows: int, seed: int = 0) -> pd.DataFrame:
    """Rows whose target depends on wind, hour and carrier; a tenth of the winds and some carriers are null."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "trip_id": [f"T{seed}-{number}" for number in range(rows)],
            "starts_at": pd.date_range("2020-01-01", periods=rows, freq="20min", tz="UTC"),
            "distance": random.uniform(100, 3000, rows),
            "wind": random.gamma(2, 5, rows),
            "carrier": random.choice([f"C{number}" for number in range(20)], rows),
            "hour": pd.Series(random.integers(0, 24, rows).astype(str)),
        }
    )
    effect = frame["carrier"].str[1:].astype(int) / 4 + frame["hour"].isin(["17", "18"]) * 6 + frame["wind"] / 2
    delay = 4 * effect + frame["distance"] / 300 + random.normal(0, 6, rows)
    if task == "regression":
        frame["late"] = delay
    elif task == "binary_classification":
        frame["late"] = (delay > 32).astype("int8")
    else:
        frame["late"] = np.select([delay < 26, delay < 38], ["early", "on time"], "late")
    frame.loc[::9, "wind"] = np.nan
    frame["carrier"] = frame["carrier"].where(random.random(rows) > 0.03)
    return frame
