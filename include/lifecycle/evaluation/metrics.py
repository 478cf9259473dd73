"""The metrics of each task, by name: the one door that tuning, gates, monitoring and rollouts come through.

A model's task decides which metrics there are; `objective.metric` which of them it is judged by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.evaluation import metrics_multiclass, metrics_regression
from include.lifecycle.evaluation.metrics_base import Metric, RankMetric, SumMetric
from include.lifecycle.evaluation.metrics_binary import (
    CALIBRATION_BINS,
    CALIBRATION_GAP,
    OF_ACTING,
    POSITIVE_RATE,
    acted_upon,
    descriptions_at,
    metrics_at,
)
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import Floats

__all__ = [
    "CALIBRATION_BINS",
    "CALIBRATION_GAP",
    "OF_ACTING",
    "POSITIVE_RATE",
    "PROPER",
    "Metric",
    "RankMetric",
    "SumMetric",
    "acted_upon",
    "descriptions_at",
    "descriptions_of",
    "metric_named",
    "metric_of_measure",
    "metrics_at",
    "metrics_of",
    "objective_metric",
    "task_metrics",
    "trivial_predictions",
]

PROPER = {"binary_classification": "brier_score", "multiclass_classification": "log_loss", "regression": "rmse"}
"""Per task the metric that is best for the true expectation: it sees what calibration sees (Gneiting & Raftery 2007)."""


def metrics_of(spec: ModelSpec) -> Mapping[str, Metric]:
    """Every metric of the model's task by name, at the model's threshold where it acts by one."""
    if spec.objective.task == "regression":
        return metrics_regression.METRICS
    if spec.objective.task == "multiclass_classification":
        return metrics_multiclass.METRICS
    return metrics_at(spec.objective.threshold)


def descriptions_of(spec: ModelSpec) -> Mapping[str, Metric]:
    """What is watched beside the metrics of the model's task, by name; no direction of these is better."""
    if spec.objective.task == "regression":
        return metrics_regression.DESCRIPTIONS
    if spec.objective.task == "multiclass_classification":
        return metrics_multiclass.DESCRIPTIONS
    return descriptions_at(spec.objective.threshold)


def objective_metric(spec: ModelSpec) -> Metric:
    """The metric that the model is judged by; SpecInvalidError when its task has none of that name."""
    known, name = metrics_of(spec), spec.objective.metric
    if name not in known:
        raise SpecInvalidError(f"objective.metric is {name!r}; for {spec.objective.task} allowed are {', '.join(known)}")
    return known[name]


def metric_named(name: str, threshold: float) -> Metric:
    """The binary metric of that name, acting from `threshold` on; SpecInvalidError lists the known ones."""
    known = metrics_at(threshold)
    if name not in known:
        raise SpecInvalidError(f"objective.metric is {name!r}; for binary_classification allowed are {', '.join(known)}")
    return known[name]


def metric_of_measure(measure: str | None, spec: ModelSpec) -> Metric:
    """The metric on which a challenger answers a decay of `measure`: its own, one that sees a calibration gap (Brier score,
    log loss or RMSE by task), else the objective."""
    wanted = PROPER[spec.objective.task] if measure == "calibration_gap" else measure
    return metrics_of(spec).get(wanted or "") or objective_metric(spec)


def task_metrics(spec: ModelSpec, y: Floats, p: Floats) -> dict[str, float]:
    """Metrics and descriptions of labels y (n,) and predictions p (see Metric); undefined ones are left out."""
    wanted = [*metrics_of(spec).values(), *descriptions_of(spec).values()]
    values = {metric.name: metric.score(y, p) for metric in wanted}
    return {name: value for name, value in values.items() if np.isfinite(value)}


def trivial_predictions(spec: ModelSpec, prior: Sequence[float], rows: int) -> Floats:
    """What a model that learnt nothing but `prior` (PreparedData.label_prior) says of `rows` rows.

    Binary: the training rate (n,), one half when unknown. Regression: the training mean (n,), 0 when unknown. Multiclass: the
    classes' training shares (n, k), equal ones when unknown. As scikit-learn's DummyClassifier(prior) and DummyRegressor(mean).
    """
    if spec.objective.task == "multiclass_classification":
        count = len(spec.objective.classes)
        return np.tile(np.asarray(prior if prior else np.full(count, 1 / count), dtype=np.float64), (rows, 1))
    unknown = 0.0 if spec.objective.task == "regression" else 0.5
    return np.full(rows, float(prior[0]) if prior else unknown)
