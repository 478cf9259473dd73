"""The plain numbers of one window: what it was worth on mature labels, and what it did. Stored in `windows.measurements`."""

from __future__ import annotations

import numpy as np

from include.lifecycle.evaluation.calibration import calibration_error
from include.lifecycle.evaluation.metrics import descriptions_of, metrics_of, objective_metric
from include.lifecycle.monitoring.labels import Labelled
from include.lifecycle.monitoring.predictions import Floats
from include.lifecycle.monitoring.skill import whole_skill
from include.lifecycle.spec import ModelSpec


def performance_numbers(spec: ModelSpec, labelled: Labelled) -> dict[str, float]:
    """Every metric of the model's task on mature labels, and what the objective's is without skill; undefined ones are left out.

    Beside them: of classifiers `calibration_error` (expected, Naeini et al. 2015) and `calibration_gap`; binary also
    `observed_rate`, `mean_prediction` and `action_rate` (share of rows acted upon); regression `observed_mean`,
    `mean_prediction`, `mean_error`; multiclass the largest gap of its classes. No label: {}.
    """
    labels, values = labelled.labels, labelled.values
    if not labels.size:
        return {}
    found = {metric.name: metric.score(labels, values) for metric in metrics_of(spec).values()}
    found["no_skill"] = whole_skill(objective_metric(spec), labels, values)[1]
    return {name: value for name, value in (found | _described(spec, labels, values)).items() if np.isfinite(value)}


def _described(spec: ModelSpec, labels: Floats, values: Floats) -> dict[str, float]:
    known = descriptions_of(spec)
    if spec.objective.task == "multiclass_classification":
        error = calibration_error(spec).score(labels, values)
        return {"calibration_gap": known["calibration_gap"].score(labels, values), "calibration_error": error}
    label, mean = float(labels.mean()), float(values.mean())
    if spec.objective.task == "regression":
        return {"mean_prediction": mean, "observed_mean": label, "mean_error": mean - label}
    acted = known["action_rate"].score(labels, values)
    return {"mean_prediction": mean, "observed_rate": label, "calibration_gap": mean - label, "action_rate": acted}
