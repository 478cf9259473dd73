"""Regression and multiclass metrics against scikit-learn, their resampled values against copying rows, and the tasks' door."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference
from sklearn.dummy import DummyClassifier, DummyRegressor

from include.lifecycle.data.targets import class_numbers, label_prior, labels_of
from include.lifecycle.errors import DataInvalidError, SpecInvalidError
from include.lifecycle.evaluation.metrics import (
    descriptions_of,
    metric_of_measure,
    metrics_of,
    objective_metric,
    task_metrics,
    trivial_predictions,
)
from include.lifecycle.evaluation.sample import sample_of
from include.lifecycle.rules.training import METRICS_OF
from include.lifecycle.statistics.intervals import resample_weights
from tests.unit.lifecycle.registry.family_cases import CLASSES, OBJECTIVES, spec_of, trips

REGRESSION, MULTI = spec_of("regression"), spec_of("multiclass_classification")
Arrays = tuple[np.ndarray, np.ndarray]


def regression(seed: int, rows: int = 240, *, ties: bool = False) -> Arrays:
    random = np.random.default_rng(seed)
    y = random.normal(30, 8, rows)
    p = y + random.normal(1, 4, rows)
    return (np.round(y), np.round(p)) if ties else (y, p)


def multiclass(seed: int, rows: int = 240, *, ties: bool = False) -> Arrays:
    random = np.random.default_rng(seed)
    y = random.choice(3, rows, p=[0.2, 0.5, 0.3])
    raw = random.gamma(1.0, 1.0, (rows, 3)) + 1.5 * np.eye(3)[y]
    shares = np.round(raw) + 0.5 if ties else raw
    return y.astype(np.float64), shares / shares.sum(axis=1, keepdims=True)


def said(p: np.ndarray) -> np.ndarray:
    return p.argmax(axis=1)


REFERENCES: dict[str, dict[str, Any]] = {
    "regression": {
        "rmse": reference.root_mean_squared_error,
        "mae": reference.mean_absolute_error,
        "r2": reference.r2_score,
        "median_absolute_error": reference.median_absolute_error,
        "mape": reference.mean_absolute_percentage_error,
        "mean_error": lambda y, p: np.mean(p - y),
    },
    "multiclass_classification": {
        "log_loss": lambda y, p: reference.log_loss(y, p, labels=[0, 1, 2]),
        "brier_score": lambda y, p: reference.brier_score_loss(y, p, labels=[0, 1, 2], scale_by_half=False),
        "accuracy": lambda y, p: reference.accuracy_score(y, said(p)),
        "f1_macro": lambda y, p: reference.f1_score(y, said(p), average="macro", zero_division=0),
        "f1_weighted": lambda y, p: reference.f1_score(y, said(p), average="weighted", zero_division=0),
        "precision_macro": lambda y, p: reference.precision_score(y, said(p), average="macro", zero_division=0),
        "precision_weighted": lambda y, p: reference.precision_score(y, said(p), average="weighted", zero_division=0),
        "recall_macro": lambda y, p: reference.recall_score(y, said(p), average="macro", zero_division=0),
        "roc_auc_ovr": lambda y, p: reference.roc_auc_score(y, p, multi_class="ovr", average="macro"),
        "calibration_gap": lambda y, p: np.abs(p.mean(axis=0) - np.bincount(y.astype(int), minlength=3) / len(y)).max(),
    },
}
WORLDS = {"regression": regression, "multiclass_classification": multiclass}
SPECS = {"regression": REGRESSION, "multiclass_classification": MULTI}
EVERY = [(task, name) for task, known in REFERENCES.items() for name in known]


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(list(WORLDS)), st.integers(0, 10_000), st.booleans())
def test_values_agree_with_scikit_learn(task: str, seed: int, ties: bool) -> None:
    y, p = WORLDS[task](seed, ties=ties)
    found = task_metrics(SPECS[task], y, p)
    for name, wanted in REFERENCES[task].items():
        if name == "mape" and (y == 0).any():
            assert name not in found
        else:
            assert found[name] == pytest.approx(wanted(y, p), abs=1e-9), name


@pytest.mark.parametrize(("task", "name"), EVERY)
@pytest.mark.parametrize("ties", [False, True])
def test_resampled_values_are_those_of_copied_rows(task: str, name: str, ties: bool) -> None:
    y, p = WORLDS[task](4, ties=ties)
    codes = np.repeat(np.arange(8), 30)
    weights = resample_weights(8, 30, 6)
    metric = {**metrics_of(SPECS[task]), **descriptions_of(SPECS[task])}[name]
    for value, row in zip(metric.resample(y, p, codes, weights), weights, strict=True):
        copied = np.concatenate([np.tile(np.flatnonzero(codes == block), int(row[block])) for block in range(8)])
        assert value == pytest.approx(metric.score(y[copied], p[copied]), abs=1e-9)


def test_every_metric_that_the_yaml_may_name_is_there() -> None:
    for task in OBJECTIVES:
        assert set(metrics_of(spec_of(task))) >= METRICS_OF[task]


@pytest.mark.parametrize("task", list(WORLDS))
def test_directions(task: str) -> None:
    y, p = WORLDS[task](1)
    perfect = y if task == "regression" else np.eye(3)[y.astype(int)]
    for metric in metrics_of(SPECS[task]).values():
        gain = metric.gain(np.array([metric.score(y, perfect)]), np.array([metric.score(y, p)]))
        assert gain[0] > 0, metric.name


def test_undefined_is_nan_and_left_out() -> None:
    same = task_metrics(REGRESSION, np.full(10, 2.0), np.full(10, 3.0))
    assert "r2" not in same
    assert same["rmse"] == same["median_absolute_error"] == 1.0
    assert "mape" not in task_metrics(REGRESSION, np.array([0.0, 1.0]), np.array([1.0, 1.0]))
    one = task_metrics(MULTI, np.zeros(4), np.tile([0.5, 0.3, 0.2], (4, 1)))
    assert "roc_auc_ovr" not in one
    assert one["accuracy"] == one["f1_macro"] == 1.0
    for spec, nothing in ((REGRESSION, np.empty(0)), (MULTI, np.empty((0, 3)))):
        assert task_metrics(spec, np.empty(0), nothing) == {}


def test_a_certain_mistake_costs_a_finite_log_loss() -> None:
    assert np.isfinite(metrics_of(MULTI)["log_loss"].score(np.array([1.0]), np.array([[1.0, 0.0, 0.0]])))


def test_the_objective_is_one_of_the_tasks_metrics() -> None:
    assert objective_metric(REGRESSION).name == "rmse"
    wrong = spec_of("regression").model_copy(update={"objective": REGRESSION.objective.model_copy(update={"metric": "roc_auc"})})
    with pytest.raises(SpecInvalidError, match=r"'roc_auc'; for regression allowed are rmse"):
        objective_metric(wrong)
    assert metric_of_measure("calibration_gap", REGRESSION).name == "rmse"
    assert metric_of_measure("calibration_gap", MULTI).name == "log_loss"
    assert metric_of_measure("mae", REGRESSION).name == "mae"


@pytest.mark.parametrize("task", list(OBJECTIVES))
def test_trivial_predictions_are_those_of_scikit_learns_dummies(task: str) -> None:
    spec, rows = spec_of(task), trips(task, 300)
    y = labels_of(spec, rows)
    dummy = DummyRegressor() if task == "regression" else DummyClassifier(strategy="prior")
    dummy.fit(np.zeros((len(y), 1)), y)
    features = np.zeros((7, 1))
    wanted = dummy.predict(features) if task == "regression" else dummy.predict_proba(features)
    found = trivial_predictions(spec, label_prior(spec, rows), 7)
    assert found == pytest.approx(wanted[:, 1] if task == "binary_classification" else wanted)
    assert len(trivial_predictions(spec, [], 3)) == 3


@pytest.mark.parametrize("task", list(OBJECTIVES))
def test_a_sample_judges_every_task(task: str) -> None:
    spec, rows = spec_of(task), trips(task, 1500)
    sample = sample_of(spec, rows)
    trivial = trivial_predictions(spec, label_prior(spec, rows), len(rows))
    perfect = np.eye(3)[sample.y.astype(int)] * 0.98 + 0.01 if trivial.ndim == 2 else sample.y
    bounds = sample.gain(objective_metric(spec), perfect, trivial)
    assert bounds.lower > 0
    value = sample.value(objective_metric(spec), perfect)
    assert value.lower - 1e-9 <= value.estimate <= value.upper + 1e-9


def test_classes_are_read_by_name() -> None:
    assert class_numbers(pd.Series(["late ", "early", None, "lost"]), CLASSES).tolist()[:2] == [1.0, 0.0]
    assert np.isnan(class_numbers(["late", None, "lost"], CLASSES)).tolist() == [False, True, True]
    assert class_numbers([1, 2.0, "3"], ["1", "2", "3"]).tolist() == [0.0, 1.0, 2.0]
    rows = trips("multiclass_classification", 50).assign(late="lost")
    with pytest.raises(DataInvalidError, match=r"target 'late' holds lost; objective.classes are early, late, on time"):
        labels_of(MULTI, rows)
