"""Gates on probabilities: expected calibration error, and the change of the share of rows that are acted upon."""

from __future__ import annotations

import numpy as np

from include.lifecycle.evaluation.judging import bounds, limit_verdict, too_few
from include.lifecycle.evaluation.metrics import CALIBRATION_BINS, Metric, SumMetric, descriptions_of, metrics_of
from include.lifecycle.evaluation.sample import Sample
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import Floats, Interval
from include.lifecycle.verdicts import Outcome, Verdict

CALIBRATION, ACTION_RATE = "calibration", "action_rate"


def calibration_gate(spec: ModelSpec, sample: Sample, p: Floats) -> list[Verdict]:
    """Expected calibration error of p against `calibration.max_error`; none for regression, which predicts no probabilities.

    Naeini, Cooper & Hauskrecht 2015 (AAAI); multiclass: of the probability of the predicted class (Guo et al. 2017, ICML).
    """
    if spec.objective.task == "regression":
        return []
    limits = spec.evaluation.calibration
    interval = calibration_interval(calibration_error(spec), sample, p)
    known = metrics_of(spec)
    extra = {"brier_score": round(known["brier_score"].score(sample.y, p), 6)} if "brier_score" in known else {}
    evidence = {"bins": CALIBRATION_BINS, **extra}
    return [limit_verdict(CALIBRATION, "expected calibration error", interval, limits.max_error, sample, limits.act, evidence)]


def calibration_error(spec: ModelSpec) -> Metric:
    """The task's expected calibration error."""
    if spec.objective.task == "binary_classification":
        return metrics_of(spec)["calibration_error"]
    return SumMetric("calibration_error", False, _top_label, lambda sums: np.abs(sums[:, :-1]).sum(axis=1) / sums[:, -1])


def calibration_interval(metric: Metric, sample: Sample, p: Floats) -> Interval:
    """The error's interval, reflected at the estimate (Davison & Hinkley 1997, section 5.2: basic bootstrap).

    The error is a sum of absolute values, so noise only ever adds to it, and a resample adds once more; the reflected interval
    takes that bias out where the percentile interval would double it.
    """
    found = sample.value(metric, p)
    lower, upper = (max(0.0, 2 * found.estimate - end) if found.known else end for end in (found.upper, found.lower))
    return Interval(estimate=found.estimate, lower=lower, upper=upper, confidence=found.confidence)


def _top_label(y: Floats, p: Floats) -> Floats:
    chosen = p.argmax(axis=1)
    confidence = p[np.arange(len(p)), chosen]
    which = np.minimum((confidence * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1)
    parts = np.zeros((len(y), CALIBRATION_BINS + 1))
    parts[np.arange(len(y)), which] = confidence - (chosen == y)
    parts[:, -1] = 1
    return parts


def action_rate_gate(spec: ModelSpec, sample: Sample, new: Floats, old: Floats, champion: int) -> list[Verdict]:
    """Change of the acted-upon share against the champion, on the same rows; a change wholly beyond the limit is a breach."""
    if spec.objective.task != "binary_classification":
        return []
    limits, metric = spec.evaluation.action_rate, descriptions_of(spec)["action_rate"]
    change = sample.gain(metric, new, old)
    evidence = {
        "limit": limits.max_change,
        "act": limits.act,
        "champion_version": champion,
        "challenger": round(metric.score(sample.y, new), 6),
        "champion": round(metric.score(sample.y, old), 6),
        **change.evidence(),
        **sample.evidence(),
    }
    if sample.shortage:
        return [too_few(ACTION_RATE, sample.shortage, evidence)]
    outcome = outcome_around(change, limits.max_change)
    word = {Outcome.PASS: "is within", Outcome.FAIL: "is beyond", Outcome.INCONCLUSIVE: "is not clearly within"}[outcome]
    reason = f"share of acted-upon rows changes by {bounds(change)} against version {champion}: {word} {limits.max_change:g}"
    return [Verdict(check=ACTION_RATE, outcome=outcome, reason=reason, evidence=evidence)]


def outcome_around(change: Interval, limit: float) -> Outcome:
    """Pass when the interval lies within [-limit, limit], fail when wholly outside, else inconclusive."""
    if not change.known:
        return Outcome.INCONCLUSIVE
    if -limit <= change.lower and change.upper <= limit:
        return Outcome.PASS
    return Outcome.FAIL if change.lower > limit or change.upper < -limit else Outcome.INCONCLUSIVE
