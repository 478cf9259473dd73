"""Absolute limits of a window's metrics on mature labels, `monitoring.performance.floors`; part of performance.py. Pure.

A floor fails when the metric's whole interval lies on the wrong side of it, passes when it lies on the right one, and is
inconclusive in between. The interval is one-sided at either end: Student's t on the delete-one-block jackknife (skill.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.evaluation.metrics import Metric, metrics_of
from include.lifecycle.monitoring.kinds import DECAY
from include.lifecycle.monitoring.labels import Labelled
from include.lifecycle.monitoring.skill import Estimate, metric_estimate
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Outcome, Verdict


def floor_check(metric: str) -> str:
    """Name of the check, and of its signal's cause."""
    return f"{DECAY}:floor_{metric}"


def check_floors(spec: ModelSpec, labelled: Labelled, blocks: NDArray[np.intp]) -> list[Verdict]:
    """One verdict `decay:floor_<metric>` per floor, on labelled predictions in blocks of time (see time_blocks)."""
    known = metrics_of(spec)
    found = []
    for name, floor in spec.monitoring.performance.floors.items():
        estimate = metric_estimate(known[name], labelled.labels, labelled.values, blocks)
        found.append(_judged(known[name], floor, estimate, spec.evaluation.confidence, labelled))
    return found


def _judged(metric: Metric, floor: float, estimate: Estimate, confidence: float, labelled: Labelled) -> Verdict:
    check, margin = floor_check(metric.name), estimate.margin(confidence)
    evidence: dict[str, Any] = {"threshold": floor, "rows": labelled.labels.size, "coverage": labelled.coverage}
    evidence |= {"measure": metric.name}
    if not np.isfinite(estimate.value):
        return _inconclusive(check, f"{metric.name} is undefined on {labelled.labels.size} mature labels", evidence)
    evidence |= {"value": estimate.value}
    if not np.isfinite(margin):
        return _inconclusive(check, f"mature labels lie in {estimate.blocks} blocks of time: too few for an interval", evidence)
    beyond = floor - estimate.value if metric.greater_is_better else estimate.value - floor
    scale = max(abs(floor), 1e-12)
    evidence |= {"effect": max(beyond, 0.0) / scale, "lower": max(beyond - margin, 0.0) / scale, "margin": margin}
    outcome = Outcome.FAIL if beyond > margin else Outcome.PASS if beyond <= -margin else Outcome.INCONCLUSIVE
    words = {Outcome.FAIL: "beyond", Outcome.PASS: "within", Outcome.INCONCLUSIVE: "not clearly within"}[outcome]
    limit = "at least" if metric.greater_is_better else "at most"
    reason = f"{metric.name} {estimate.value:.4g} +- {margin:.2g} is {words} the limit of {limit} {floor:g}"
    return Verdict(check=check, outcome=outcome, reason=reason, evidence=evidence | {"severity": "act"})


def _inconclusive(check: str, reason: str, evidence: dict[str, Any]) -> Verdict:
    return Verdict(check=check, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence=evidence)
