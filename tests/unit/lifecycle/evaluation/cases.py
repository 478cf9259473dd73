"""Specs and tables for the tests of single gates: rows over some weeks with a known truth, and predictions of known quality."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from include.lifecycle.evaluation.identity import Scored
from include.lifecycle.spec import ModelSpec
from tests.unit.lifecycle.training.spec_for_tests import make_spec

FIRST = datetime(2013, 7, 1, tzinfo=UTC)
ROLES = ["trip_id", "starts_at", "late"]


def spec_of(task: str = "binary_classification", **evaluation: Any) -> ModelSpec:
    """The small model of the training tests with these gate settings; 100 resamples."""
    objective: dict[str, Any] = {"task": task}
    if task == "regression":
        objective |= {"metric": "rmse", "floor": "none"}
    if task == "multiclass_classification":
        objective |= {"metric": "accuracy", "floor": "none", "classes": ["early", "late", "never"]}
    return make_spec(objective=objective, evaluation={"resamples": 200} | evaluation)


def trips(days: int = 30, per_day: int = 60, seed: int = 1, *, day_effect: float = 0.3) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows (days x per_day), and their true P(late): calibrated predictions, since `late` is drawn from them."""
    random = np.random.default_rng(seed)
    rows = days * per_day
    day = np.repeat(np.arange(days), per_day)
    wind = random.gamma(2.0, 5.0, rows)
    score = 0.12 * (wind - 10) - 0.8 + day_effect * random.normal(0, 1, days)[day]
    p = 1 / (1 + np.exp(-score))
    frame = pd.DataFrame(
        {
            "trip_id": [str(number) for number in range(rows)],
            "starts_at": pd.date_range(FIRST, periods=rows, freq=f"{86_400 // per_day}s"),
            "late": (random.random(rows) < p).astype("int8"),
            "distance": random.integers(100, 2500, rows).astype(float),
            "wind": wind,
            "carrier": pd.array(random.choice(np.array(["AA", "UA", "DL", "B6"], dtype=object), rows), dtype="str"),
            "hour": pd.array(random.choice(np.array([f"h{hour:02d}" for hour in range(8)], dtype=object), rows), dtype="str"),
        }
    )
    return frame, p


def scored(frame: pd.DataFrame, p: np.ndarray) -> Scored:
    """Predictions as a scorer hands them back."""
    return Scored(frame[ROLES], p)
