"""Performance of one window on mature labels: skill lost against the hold-out. Pure; calibration.py has the other verdict.

It fails on a bound, not on the estimate. Skill lost is L = 1 - s / s0, with s0 the mean skill of k hold-out windows of the same
length and d their deviation: a new window's L has the error sqrt(max(e, d)^2 + (s / s0)^2 d^2 / k) / s0 (delta method, e the
window's own error) and Student's t with k - 1 degrees of freedom; its lower bound stands on the ladder notice < warn < act <
concept < rollback. Of a regression's error e against e0 in the hold-out's windows, L = e / e0 - 1, with the same error.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from include.lifecycle.evaluation.metrics import OF_ACTING, objective_metric
from include.lifecycle.monitoring.calibration import CALIBRATION, check_calibration, unclear
from include.lifecycle.monitoring.floors import check_floors, floor_check
from include.lifecycle.monitoring.kinds import DECAY
from include.lifecycle.monitoring.labels import Labelled
from include.lifecycle.monitoring.performance_numbers import performance_numbers
from include.lifecycle.monitoring.profile import PerformanceReference, Profile
from include.lifecycle.monitoring.skill import FEWEST_BLOCKS, Estimate, is_error, skill, time_blocks
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.spec import ModelSpec, PerformanceSection
from include.lifecycle.verdicts import Outcome, Verdict

__all__ = ["CALIBRATION", "check_performance", "lost_skill", "performance_numbers", "rung_of"]

SMALLEST_SKILL = 0.02
"""A hold-out with less skill is no basis for "skill lost"."""


def check_performance(spec: ModelSpec, profile: Profile, window: Window, labelled: Labelled) -> list[Verdict]:
    """Verdicts `decay:<metric>`, `decay:calibration_gap` and one per floor; too few mature labels, blocks or classes are
    inconclusive."""
    check = f"{DECAY}:{spec.objective.metric}"
    rows, wanted = labelled.labels.size, spec.monitoring.minimum_labels
    if rows < wanted:
        why = f"{rows} mature labels; monitoring.minimum_labels asks for {wanted}"
        every = (check, CALIBRATION, *map(floor_check, spec.monitoring.performance.floors))
        return [unclear(name, why, rows=rows, coverage=labelled.coverage) for name in every]
    blocks = time_blocks(labelled.times / 1e6, window.start.timestamp(), window.length.total_seconds())
    verdicts = [check_calibration(spec, profile.performance, labelled, blocks), *check_floors(spec, labelled, blocks)]
    if spec.objective.task != "regression" and np.unique(labelled.labels).size < 2:
        return [unclear(check, "all mature labels are of one class", rows=rows), *verdicts]
    if profile.performance is None:
        return [unclear(check, "the profile holds no hold-out performance", rows=rows), *verdicts]
    measured = skill(objective_metric(spec), labelled.labels, labelled.values, blocks)
    return [_decay(spec, profile.performance, labelled, measured), *verdicts]


def _decay(spec: ModelSpec, reference: PerformanceReference, labelled: Labelled, measured: Estimate) -> Verdict:
    metric, ladder = spec.objective.metric, spec.monitoring.performance
    check = f"{DECAY}:{metric}"
    value = objective_metric(spec).score(labelled.labels, labelled.values)
    evidence: dict[str, Any] = {"value": value, "skill": measured.value, "rows": labelled.labels.size}
    evidence |= {"reference_value": reference.value, "reference_skill": reference.skill, "deviation": reference.deviation}
    acts = spec.objective.task == "binary_classification" and metric in OF_ACTING
    if acts and reference.threshold != spec.objective.threshold:
        why = (
            f"the hold-out was measured at threshold {reference.threshold:g}, the model now acts at {spec.objective.threshold:g}"
        )
        return unclear(check, why, **evidence)
    smallest = np.nextafter(0, 1) if is_error(metric) else SMALLEST_SKILL
    if reference.metric != metric or reference.skill is None or reference.skill < smallest:
        return unclear(check, f"the hold-out's windows give no basis: {reference.metric} skill {reference.skill}", **evidence)
    if not np.isfinite(measured.error):
        return unclear(check, f"mature labels lie in {measured.blocks} blocks of time: too few for an interval", **evidence)
    lost = lost_skill(reference, measured)
    lower = lost.value - lost.margin(spec.evaluation.confidence)
    rung, severity = rung_of(lower, ladder)
    evidence |= {"effect": max(lost.value, 0.0), "lower": lower, "threshold": ladder.notice, "severity": severity or "none"}
    evidence |= {"measure": metric, "rung": rung or "none"}
    reason = f"{_words(metric, value, measured, reference, lost)}, {f'at least {lower:.1%}' if lower > 0 else 'perhaps none'}"
    return Verdict(check=check, outcome=Outcome.FAIL if severity else Outcome.PASS, reason=reason, evidence=evidence)


def rung_of(lower: float, ladder: PerformanceSection) -> tuple[str | None, str | None]:
    """The highest rung of the ladder below a loss's lower bound, and the severity that `decide` reads: warn, act or concept.

    The rung `rollback` is a concept drift so large that a person should ask whether the version before was better.
    """
    rungs = (("rollback", "concept"), ("concept", "concept"), ("act", "act"), ("warn", "warn"), ("notice", "warn"))
    return next(((rung, severity) for rung, severity in rungs if lower > getattr(ladder, rung)), (None, None))


def _words(metric: str, value: float, measured: Estimate, reference: PerformanceReference, lost: Estimate) -> str:
    if is_error(metric):
        return f"{metric} {value:.4g} against {reference.skill:.4g} in hold-out windows: larger by {lost.value:.1%}"
    words = f"{metric} {value:.3f}, skill {measured.value:.3f} against {reference.skill:.3f} in hold-out windows"
    return f"{words}: {lost.value:.1%} of skill lost"


def lost_skill(reference: PerformanceReference, measured: Estimate) -> Estimate:
    """Skill lost of one window, with the error of the module's formula; as many blocks as hold-out windows."""
    expected, deviation = reference.skill or np.nan, reference.deviation
    ratio = measured.value / expected
    error = np.hypot(max(measured.error, deviation), ratio * deviation / np.sqrt(reference.windows)) / expected
    lost = ratio - 1 if is_error(reference.metric) else 1 - ratio
    return Estimate(lost, float(error), max(int(reference.windows), FEWEST_BLOCKS))
