"""Metrics against scikit-learn, and their resampled values against copying rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.evaluation.metrics import (
    OF_ACTING,
    descriptions_at,
    metric_named,
    metric_of_measure,
    metrics_at,
    task_metrics,
)
from include.lifecycle.statistics.intervals import resample_weights
from tests.integration.registry_lab import lab_spec


def binary_metrics(y: np.ndarray, p: np.ndarray, threshold: float) -> dict[str, float]:
    """Everything that is measured of a binary model that acts from `threshold` on."""
    spec = lab_spec("metrics", objective={"threshold": threshold})
    return task_metrics(spec, y, p)


METRICS, DESCRIPTIONS = metrics_at(0.5), descriptions_at(0.5)

REFERENCES = {
    "roc_auc": reference.roc_auc_score,
    "average_precision": reference.average_precision_score,
    "brier_score": reference.brier_score_loss,
    "log_loss": reference.log_loss,
    "accuracy": lambda y, p: reference.accuracy_score(y, p >= 0.5),
    "precision": lambda y, p: reference.precision_score(y, p >= 0.5),
    "recall": lambda y, p: reference.recall_score(y, p >= 0.5),
    "f1": lambda y, p: reference.f1_score(y, p >= 0.5),
}


def world(seed: int, rows: int = 300, *, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y = (random.random(rows) < 0.3).astype(float)
    p = np.clip(0.2 + 0.25 * y + random.normal(0, 0.2, rows), 0.0, 1.0)
    return y, np.round(p, 1) if ties else p


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_values_agree_with_scikit_learn(seed: int, ties: bool) -> None:
    y, p = world(seed, ties=ties)
    for name, wanted in REFERENCES.items():
        assert METRICS[name].score(y, p) == pytest.approx(wanted(y, p), abs=1e-12), name


@pytest.mark.parametrize("name", [*METRICS, *DESCRIPTIONS])
@pytest.mark.parametrize("ties", [False, True])
def test_resampled_values_are_those_of_copied_rows(name: str, ties: bool) -> None:
    y, p = world(4, 240, ties=ties)
    codes = np.repeat(np.arange(8), 30)
    weights = resample_weights(8, 30, 6)
    metric = {**METRICS, **DESCRIPTIONS}[name]
    found = metric.resample(y, p, codes, weights)
    for value, row in zip(found, weights, strict=True):
        copied = np.concatenate([np.tile(np.flatnonzero(codes == block), int(row[block])) for block in range(8)])
        assert value == pytest.approx(metric.score(y[copied], p[copied]), abs=1e-12)


def test_directions() -> None:
    y = np.array([0.0, 1.0, 0.0, 1.0])
    good, bad = np.array([0.1, 0.9, 0.2, 0.8]), np.array([0.9, 0.1, 0.8, 0.2])
    for metric in METRICS.values():
        gain = metric.gain(np.array([metric.score(y, good)]), np.array([metric.score(y, bad)]))
        if np.isfinite(gain[0]):
            assert gain[0] > 0, metric.name


def test_undefined_is_nan_and_left_out() -> None:
    y, p = np.zeros(10), np.full(10, 0.2)
    assert np.isnan(METRICS["roc_auc"].score(y, p))
    assert np.isnan(METRICS["precision"].score(y, p))
    found = binary_metrics(y, p, 0.5)
    assert "roc_auc" not in found
    assert found["calibration_gap"] == pytest.approx(0.2)
    assert found["calibration_error"] == pytest.approx(0.2)
    assert found["action_rate"] == 0.0


def test_calibration_error_sees_what_the_mean_hides() -> None:
    y = np.array([1.0] * 50 + [0.0] * 50)
    p = np.array([0.75] * 50 + [0.25] * 50)
    found = binary_metrics(y, p, 0.5)
    assert found["calibration_gap"] == pytest.approx(0.0)
    assert found["calibration_error"] == pytest.approx(0.25)


def test_log_loss_of_a_certain_mistake_is_finite() -> None:
    assert np.isfinite(METRICS["log_loss"].score(np.array([1.0, 0.0]), np.array([0.0, 1.0])))


def test_names() -> None:
    with pytest.raises(SpecInvalidError, match=r"'auc'.*allowed are roc_auc"):
        metric_named("auc", 0.5)
    spec = lab_spec("names")
    assert metric_of_measure("calibration_gap", spec).name == "brier_score"
    assert metric_of_measure("log_loss", spec).name == "log_loss"
    assert metric_of_measure("temp", spec).name == "roc_auc"
    assert metric_of_measure(None, spec).name == "roc_auc"


@pytest.mark.parametrize(
    ("threshold", "acted"), [(0.2, 4), (0.2 + 1e-12, 3), (0.5, 3), (0.5 + 1e-12, 1), (0.9, 1), (0.9 + 1e-12, 0), (1e-9, 4)]
)
def test_a_row_is_acted_upon_from_the_threshold_on(threshold: float, acted: int) -> None:
    y, p = np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.2, 0.5, 0.5, 0.9])
    found = binary_metrics(y, p, threshold)
    assert found["action_rate"] == acted / 4
    assert found["accuracy"] == reference.accuracy_score(y, p >= threshold)
    assert found["recall"] == reference.recall_score(y, p >= threshold)
    assert ("precision" in found) == (acted > 0)


def test_ranking_and_calibration_do_not_know_the_threshold() -> None:
    y, p = world(7)
    low, high = binary_metrics(y, p, 0.1), binary_metrics(y, p, 0.6)
    changed = {name for name in low if low[name] != high[name]}
    assert changed == {*OF_ACTING, "action_rate"}
