"""Calibration of one window on mature labels: do predictions agree with outcomes on average? Pure; part of performance.py.

Binary: |mean prediction - observed rate|. Multiclass: the largest such gap of its classes, at a confidence shared by all
(Bonferroni). Regression: |mean prediction - mean label| in units of the target's standard deviation in the hold-out. The verdict
fails when the gap's lower bound lies above `monitoring.performance.calibration_gap`, and the gap itself above what hold-out
windows show by nature: `calibration_spread` times their gaps' standard deviation. The hold-out's mean gap excuses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.evaluation.metrics_multiclass import one_hot
from include.lifecycle.monitoring.kinds import DECAY
from include.lifecycle.monitoring.labels import Labelled
from include.lifecycle.monitoring.profile import PerformanceReference
from include.lifecycle.monitoring.skill import Estimate, mean_gap
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Outcome, Verdict

CALIBRATION = f"{DECAY}:calibration_gap"


@dataclass(frozen=True)
class _Gap:
    """One gap: mean prediction and mean label, their difference in the limit's unit, its lower bound, and what was compared."""

    mean: float
    label: float
    estimate: Estimate
    lower: float
    of: str = ""


def check_calibration(
    spec: ModelSpec, reference: PerformanceReference | None, labelled: Labelled, blocks: NDArray[np.intp]
) -> Verdict:
    """Verdict `decay:calibration_gap` on labelled predictions in blocks of time; too few blocks are inconclusive."""
    limit = spec.monitoring.performance.calibration_gap
    found = _widest(spec, reference, labelled, blocks)
    observed = "observed_mean" if spec.objective.task == "regression" else "observed_rate"
    evidence: dict[str, Any] = {"effect": abs(found.estimate.value), "gap": found.estimate.value}
    evidence |= {observed: found.label, "mean_prediction": found.mean}
    evidence |= {"threshold": limit, "rows": labelled.labels.size, "coverage": labelled.coverage}
    evidence |= {"class": found.of} if found.of else {}
    if not np.isfinite(found.lower):
        why = f"mature labels lie in {found.estimate.blocks} blocks of time: too few for an interval"
        return unclear(CALIBRATION, why, **evidence)
    deviation = reference.gap_deviations.get(found.of, 0.0) if reference else 0.0  # older profiles do not tell
    usual = spec.monitoring.performance.calibration_spread * deviation
    fails = found.lower > limit and abs(found.estimate.value) > usual
    evidence |= {"lower": found.lower, "severity": "act", "measure": "calibration_gap", "usual": usual, "deviation": deviation}
    reason = f"{_words(spec, found)}, {'above' if found.lower > limit else 'within'} {limit:g}"
    if found.lower > limit:
        reason += f" and {'above' if fails else 'within'} the {usual:.3f} of hold-out windows" if usual else ""
    outcome = Outcome.FAIL if fails else Outcome.PASS
    return Verdict(check=CALIBRATION, outcome=outcome, reason=reason, evidence=evidence)


def unclear(check: str, reason: str, **evidence: Any) -> Verdict:
    """An inconclusive verdict."""
    return Verdict(check=check, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence=evidence)


def _widest(spec: ModelSpec, reference: PerformanceReference | None, labelled: Labelled, blocks: NDArray[np.intp]) -> _Gap:
    confidence, labels, values = spec.evaluation.confidence, labelled.labels, labelled.values
    if values.ndim == 1:
        spread = 1.0
        if spec.objective.task == "regression":
            spread = (reference.spread if reference else None) or float(labels.std()) or 1.0
        return _gap(labels, values, blocks, confidence, spread)
    names, true = spec.objective.classes, one_hot(labels, values.shape[1])
    shared = 1 - (1 - confidence) / len(names)
    gaps = [_gap(true[:, place], values[:, place], blocks, shared, 1.0, name) for place, name in enumerate(names)]
    return max(gaps, key=lambda gap: (np.nan_to_num(gap.lower, nan=-1.0), abs(gap.estimate.value)))


def _gap(
    labels: NDArray[np.float64],
    values: NDArray[np.float64],
    blocks: NDArray[np.intp],
    confidence: float,
    spread: float,
    of: str = "",
) -> _Gap:
    raw = mean_gap(labels, values, blocks)
    estimate = Estimate(raw.value / spread, raw.error / spread, raw.blocks)
    lower = max(abs(estimate.value) - margin, 0.0) if np.isfinite(margin := estimate.margin(confidence)) else float("nan")
    return _Gap(float(values.mean()), float(labels.mean()), estimate, lower, of)


def _words(spec: ModelSpec, found: _Gap) -> str:
    gap = f"gap {abs(found.estimate.value):.3f}"
    if spec.objective.task == "regression":
        means = f"mean prediction {found.mean:.4g} against a mean label of {found.label:.4g}"
        return f"{means}: {gap} standard deviations, at least {found.lower:.3f}"
    means = f"mean prediction {found.mean:.3f} against an observed rate of {found.label:.3f}"
    return f"{f'class {found.of}: ' if found.of else ''}{means}: {gap}, at least {found.lower:.3f}"
