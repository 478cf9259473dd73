"""How good a version was on its hold-out, window by window: what monitoring compares live windows with. Part of the profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.data.targets import labels_of
from include.lifecycle.evaluation.metrics import metric_named, objective_metric
from include.lifecycle.evaluation.metrics_multiclass import one_hot
from include.lifecycle.monitoring.outcomes.estimate import estimate_reference
from include.lifecycle.monitoring.profile import PerformanceReference
from include.lifecycle.monitoring.skill import whole_skill
from include.lifecycle.statistics.null import FEWEST_WINDOWS, DrawnWindows, draw_windows, independent_windows

if TYPE_CHECKING:
    import pandas

    from include.lifecycle.spec import ModelSpec

Floats = NDArray[np.float64]

SKILL_DRAWS = 60
FEWEST_DRAWS = 20
FEWEST_GAP_WINDOWS = 2.0


def performance_reference(
    spec: ModelSpec, holdout: pandas.DataFrame, times: Floats, predictions: Floats
) -> PerformanceReference | None:
    """What the hold-out's predictions, (n,) or (n, classes), were worth; None when all labels are equal.

    `times`: the rows' event times in seconds since 1970 (n,).
    """
    known = holdout[spec.data.target].notna().to_numpy()
    labels, guesses = labels_of(spec, holdout[known]).astype(np.float64), predictions[known]
    if np.unique(labels).size < 2:
        return None
    threshold = spec.objective.threshold
    drawn = draw_windows(times[known], spec.monitoring.window, rows=labels.size, draws=SKILL_DRAWS, seed=spec.training.seed)
    expected, deviation, windows = _window_skills(spec, labels, guesses, drawn)
    found = PerformanceReference(
        rows=labels.size,
        metric=spec.objective.metric,
        threshold=threshold,
        value=objective_metric(spec).score(labels, guesses),
        skill=expected,
        deviation=deviation,
        windows=windows,
        gap_deviations=_gap_deviations(spec, labels, guesses, drawn),
        estimate=estimate_reference(spec, labels, guesses, drawn) if expected is not None else None,
    )
    if spec.objective.task == "multiclass_classification":
        return found
    means = {"rate": float(labels.mean()), "mean_prediction": float(guesses.mean())}
    if spec.objective.task == "regression":
        return found.model_copy(update=means | {"spread": float(labels.std())})
    return found.model_copy(update=means | {"brier_score": metric_named("brier_score", threshold).score(labels, guesses)})


def _gap_deviations(spec: ModelSpec, labels: Floats, predictions: Floats, drawn: DrawnWindows) -> dict[str, float]:
    """Standard deviation of the calibration gap over hold-out windows, by class or ""; a regression's in units of the labels'
    deviation. Empty where the hold-out holds fewer than two windows side by side."""
    if drawn.disjoint < FEWEST_GAP_WINDOWS:
        return {}
    surplus = predictions - (one_hot(labels, predictions.shape[1]) if predictions.ndim == 2 else labels)
    scale = (float(labels.std()) or 1.0) if spec.objective.task == "regression" else 1.0
    gaps = np.array([surplus[chosen].mean(axis=0) for chosen in drawn.rows]).reshape(len(drawn.rows), -1) / scale
    names = spec.objective.classes if predictions.ndim == 2 else [""]
    return {name: float(value) for name, value in zip(names, gaps.std(axis=0, ddof=1), strict=True)}


def _window_skills(
    spec: ModelSpec, labels: Floats, predictions: Floats, drawn: DrawnWindows
) -> tuple[float | None, float, float]:
    """Mean and deviation of skill over hold-out windows, and how many independent ones; no mean when there are too few."""
    values, metric = np.full(len(drawn.rows), np.nan), objective_metric(spec)
    for place, chosen in enumerate(drawn.rows):
        held = labels[chosen]
        if spec.objective.task == "regression" or np.unique(held).size > 1:
            values[place] = whole_skill(metric, held, predictions[chosen])[0]
    some = values[np.isfinite(values)]
    if some.size < FEWEST_DRAWS or drawn.disjoint < FEWEST_WINDOWS:
        return None, 0.0, drawn.disjoint
    return float(some.mean()), float(some.std(ddof=1)), independent_windows(values, drawn)
