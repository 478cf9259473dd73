"""Performance of one window on mature labels: skill lost against the hold-out, and calibration. Pure.

Both fail on a bound, not on the estimate. Skill lost is L = 1 - s / s0, with s0 the mean skill of k hold-out windows of the same
length and d their deviation: a new window's L has the error sqrt(max(e, d)^2 + (s / s0)^2 d^2 / k) / s0 (delta method, e the
window's own error) and Student's t with k - 1 degrees of freedom; its lower bound stands on the ladder warn < act < concept.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from include.lifecycle.evaluation.metrics import OF_ACTING, metric_named, objective_metric
from include.lifecycle.monitoring.labels import Labelled
from include.lifecycle.monitoring.profile import PerformanceReference, Profile
from include.lifecycle.monitoring.skill import FEWEST_BLOCKS, Estimate, mean_gap, skill, time_blocks
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Outcome, Verdict

DECAY = "decay"
CALIBRATION = f"{DECAY}:calibration_gap"
SMALLEST_SKILL = 0.02
"""A hold-out with less skill is no basis for "skill lost"."""


def check_performance(spec: ModelSpec, profile: Profile, window: Window, labelled: Labelled) -> list[Verdict]:
    """Verdicts `decay:<metric>` and `decay:calibration_gap`; too few mature labels, blocks or classes are inconclusive."""
    check = f"{DECAY}:{spec.objective.metric}"
    rows, wanted = labelled.labels.size, spec.monitoring.minimum_labels
    if spec.objective.task != "binary_classification" or rows < wanted:
        why = f"{rows} mature labels; monitoring.minimum_labels asks for {wanted}"
        return [_unclear(name, why, rows=rows, coverage=labelled.coverage) for name in (check, CALIBRATION)]
    blocks = time_blocks(labelled.times / 1e6, window.start.timestamp(), window.length.total_seconds())
    gap = mean_gap(labelled.labels, labelled.values, blocks)
    verdicts = [_calibration(spec, labelled, gap)]
    if np.unique(labelled.labels).size < 2:
        return [_unclear(check, "all mature labels are of one class", rows=rows), *verdicts]
    if profile.performance is None:
        return [_unclear(check, "the profile holds no hold-out performance", rows=rows), *verdicts]
    measured = skill(objective_metric(spec), labelled.labels, labelled.values, blocks)
    return [_decay(spec, profile.performance, labelled, measured), *verdicts]


def performance_numbers(spec: ModelSpec, labelled: Labelled) -> dict[str, float]:
    """Objective metric, Brier score, observed rate, mean prediction and their gap on mature labels; undefined ones left out."""
    if not labelled.labels.size:
        return {}
    names = [spec.objective.metric, "brier_score"] if spec.objective.task == "binary_classification" else []
    values: dict[str, float] = {
        name: metric_named(name, spec.objective.threshold).score(labelled.labels, labelled.values) for name in names
    }
    rate, mean = float(labelled.labels.mean()), float(labelled.values.mean())
    values |= {"observed_rate": rate, "mean_prediction": mean, "calibration_gap": mean - rate}
    return {name: value for name, value in values.items() if np.isfinite(value)}


def _calibration(spec: ModelSpec, labelled: Labelled, gap: Estimate) -> Verdict:
    limit, margin = spec.monitoring.performance.calibration_gap, gap.margin(spec.evaluation.confidence)
    rate, mean = float(labelled.labels.mean()), float(labelled.values.mean())
    evidence: dict[str, Any] = {"effect": abs(gap.value), "gap": gap.value, "observed_rate": rate, "mean_prediction": mean}
    evidence |= {"threshold": limit, "rows": labelled.labels.size, "coverage": labelled.coverage}
    if not np.isfinite(margin):
        return _unclear(CALIBRATION, f"mature labels lie in {gap.blocks} blocks of time: too few for an interval", **evidence)
    lower = max(abs(gap.value) - margin, 0.0)
    fails = lower > limit
    words = f"mean prediction {mean:.3f} against an observed rate of {rate:.3f}: gap {abs(gap.value):.3f}, at least {lower:.3f}"
    evidence |= {"lower": lower, "severity": "act", "measure": "calibration_gap"}
    outcome = Outcome.FAIL if fails else Outcome.PASS
    return Verdict(
        check=CALIBRATION, outcome=outcome, reason=f"{words}, {'above' if fails else 'within'} {limit:g}", evidence=evidence
    )


def _decay(spec: ModelSpec, reference: PerformanceReference, labelled: Labelled, measured: Estimate) -> Verdict:
    metric, ladder = spec.objective.metric, spec.monitoring.performance
    check = f"{DECAY}:{metric}"
    value = objective_metric(spec).score(labelled.labels, labelled.values)
    evidence: dict[str, Any] = {"value": value, "skill": measured.value, "rows": labelled.labels.size}
    evidence |= {"reference_value": reference.value, "reference_skill": reference.skill, "deviation": reference.deviation}
    if metric in OF_ACTING and reference.threshold != spec.objective.threshold:
        why = (
            f"the hold-out was measured at threshold {reference.threshold:g}, the model now acts at {spec.objective.threshold:g}"
        )
        return _unclear(check, why, **evidence)
    if reference.metric != metric or reference.skill is None or reference.skill < SMALLEST_SKILL:
        return _unclear(check, f"the hold-out's windows give no basis: {reference.metric} skill {reference.skill}", **evidence)
    if not np.isfinite(measured.error):
        return _unclear(check, f"mature labels lie in {measured.blocks} blocks of time: too few for an interval", **evidence)
    lost = _lost(reference, measured)
    lower = lost.value - lost.margin(spec.evaluation.confidence)
    steps = (("concept", ladder.concept), ("act", ladder.act), ("warn", ladder.warn))
    severity = next((name for name, bar in steps if lower > bar), None)
    evidence |= {"effect": max(lost.value, 0.0), "lower": lower, "threshold": ladder.warn, "severity": severity or "none"}
    evidence["measure"] = metric
    words = f"{metric} {value:.3f}, skill {measured.value:.3f} against {reference.skill:.3f} in hold-out windows"
    reason = f"{words}: {lost.value:.1%} of skill lost, {f'at least {lower:.1%}' if lower > 0 else 'perhaps none'}"
    return Verdict(check=check, outcome=Outcome.FAIL if severity else Outcome.PASS, reason=reason, evidence=evidence)


def _lost(reference: PerformanceReference, measured: Estimate) -> Estimate:
    """Skill lost of one window, with the error of the module's formula; as many blocks as hold-out windows."""
    expected, deviation = reference.skill or np.nan, reference.deviation
    ratio = measured.value / expected
    error = np.hypot(max(measured.error, deviation), ratio * deviation / np.sqrt(reference.windows)) / expected
    return Estimate(1 - ratio, float(error), max(int(reference.windows), FEWEST_BLOCKS))


def _unclear(check: str, reason: str, **evidence: Any) -> Verdict:
    return Verdict(check=check, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence=evidence)
