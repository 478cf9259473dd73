"""What the evaluation's page draws, by task: ROC, precision and recall, calibration, or residuals; importance; slices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from include.lifecycle.evaluation.case import Case
from include.lifecycle.evaluation.metrics import CALIBRATION_BINS
from include.lifecycle.evaluation.plots import bar_chart, line_chart
from include.lifecycle.evaluation.slice_search import SLICE_SEARCH
from include.lifecycle.statistics.intervals import Floats
from include.lifecycle.verdicts import Verdict


def charts(case: Case, verdicts: list[Verdict]) -> Iterator[str]:
    """SVG charts of one evaluation, as far as its rows allow."""
    y, p = case.sample.y, case.p
    if len(y):
        yield from _of_task(case, y, p)
    if case.importance is not None:
        bars = [(one.feature, one.drop or 0.0, one.lower, one.upper) for one in case.importance.features]
        yield bar_chart(f"Importance: loss of {case.importance.metric}", bars)
    found: list[dict[str, Any]] = next((v.evidence.get("slices", []) for v in verdicts if v.check == SLICE_SEARCH), [])
    if found:
        yield bar_chart("Excess loss of suspected slices", [(one["slice"], one["excess"], None, None) for one in found])


def _of_task(case: Case, y: Floats, p: Floats) -> Iterator[str]:
    task = case.spec.objective.task
    if task == "regression":
        yield line_chart("Prediction and truth", "truth", "prediction", [("", y, p)], diagonal=True, dots=True)
        residuals = np.sort(p - y)
        yield line_chart("Residuals", "share of rows", "prediction - truth", [("", np.linspace(0, 1, len(y)), residuals)])
        return
    named = [("", y, p)]
    if task == "multiclass_classification":
        named = [
            (name, (y == place).astype(np.float64), p[:, place]) for place, name in enumerate(case.spec.objective.classes[:5])
        ]
    told = [(name, one, score) for name, one, score in named if 0 < one.sum() < len(one)]
    if not told:
        return
    curves = [(name, *_cumulated(one, score)) for name, one, score in told]
    roc = [(name, false / false[-1], true / true[-1]) for name, true, false in curves]
    yield line_chart("ROC", "false positive rate", "true positive rate", roc, diagonal=True)
    recall = [(name, true / true[-1], true / (true + false)) for name, true, false in curves]
    yield line_chart("Precision and recall", "recall", "precision", recall)
    yield line_chart(
        "Calibration",
        "mean prediction",
        "observed rate",
        [(name, *calibration_curve(one, s)) for name, one, s in told],
        diagonal=True,
    )


def _cumulated(positive: Floats, score: Floats) -> tuple[Floats, Floats]:
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    true = np.cumsum(positive[order])[ends]
    return true, ends + 1 - true


def calibration_curve(positive: Floats, p: Floats) -> tuple[Floats, Floats]:
    """Mean prediction and observed rate of each bin of equal width that holds rows."""
    which = np.minimum((p * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1)
    rows = np.bincount(which, minlength=CALIBRATION_BINS)
    some = rows > 0
    means, rates = (np.bincount(which, weights=part, minlength=CALIBRATION_BINS)[some] / rows[some] for part in (p, positive))
    return means, rates
