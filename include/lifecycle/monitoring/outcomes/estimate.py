"""Performance of a window until its labels come: the check `estimated_decay:<metric>`, and what registration keeps for it.

An estimate may fail a window, never pass one: what looks fine is inconclusive. It ends when labels measure the window. The band
adds three errors: between blocks of the window, between hold-out windows, and of estimated against measured hold-out windows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.evaluation.calibration import calibration_error
from include.lifecycle.evaluation.metrics import Metric, objective_metric
from include.lifecycle.monitoring.kinds import ESTIMATED_DECAY
from include.lifecycle.monitoring.labels import Labelled
from include.lifecycle.monitoring.outcomes.cbpe import calibrated, estimates, expected_skill, expected_value
from include.lifecycle.monitoring.performance import SMALLEST_SKILL, rung_of
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.profile import EstimateReference, PerformanceReference, Profile
from include.lifecycle.monitoring.skill import FEWEST_BLOCKS, Estimate, time_blocks, whole_skill
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.null import DrawnWindows, independent_windows
from include.lifecycle.verdicts import Outcome, Verdict

Floats = NDArray[np.float64]
Curves = list[tuple[Floats, Floats]]

FEWEST_HOLDOUT_ROWS = 100
_FEWEST_DRAWS = 20
_PLAIN = np.array([0.0, 1.0])


def check_estimate(spec: ModelSpec, profile: Profile, window: Predictions, labelled: Labelled) -> list[Verdict]:
    """Verdict `estimated_decay:<metric>`, fail or inconclusive; none for regressions, when switched off, or once labels speak."""
    wanted = spec.monitoring.performance.estimate
    check = f"{ESTIMATED_DECAY}:{spec.objective.metric}"
    measured = labelled.labels.size >= spec.monitoring.minimum_labels
    if spec.objective.task == "regression" or not wanted.enabled or measured:
        return []
    if window.rows < spec.monitoring.minimum_rows:
        return [_unclear(check, f"{window.rows} rows; monitoring.minimum_rows asks for {spec.monitoring.minimum_rows}")]
    reference = profile.performance
    why = _no_basis(spec, reference)
    if why or reference is None or reference.estimate is None:
        return [_unclear(check, why or "the profile holds no hold-out performance")]
    scores, times = _sample(window, wanted.rows, spec.training.seed)
    if len(scores) < spec.monitoring.minimum_rows:
        return [_unclear(check, f"{len(scores)} rows have a usable prediction")]
    blocks = time_blocks(times / 1e6, window.window.start.timestamp(), window.window.length.total_seconds())
    chances = calibrated(_curves(reference.estimate), scores)
    value, skill = estimates(objective_metric(spec), chances, scores, blocks)
    return [_judged(spec, check, reference.estimate, value, skill, len(scores))]


def _judged(spec: ModelSpec, check: str, reference: EstimateReference, value: Estimate, skill: Estimate, rows: int) -> Verdict:
    evidence: dict[str, Any] = {"rows": rows, "measure": spec.objective.metric, "reference_skill": reference.skill}
    evidence |= {"calibration_error": reference.calibration_error, "estimated": True}
    if not np.isfinite(value.error) or not np.isfinite(skill.error):
        return _unclear(check, f"rows lie in {skill.blocks} blocks of time: too few for a band", **evidence)
    confidence, ladder = spec.evaluation.confidence, spec.monitoring.performance
    band = _with_error(value, reference, np.hypot(value.error, reference.value_deviation)).margin(confidence)
    lost = estimated_loss(reference, skill)
    lower = lost.value - lost.margin(confidence)
    rung, severity = rung_of(lower, ladder)
    centre = value.value - reference.value_bias
    evidence |= {"value": centre, "band_lower": centre - band, "band_upper": centre + band, "skill": skill.value - reference.bias}
    evidence |= {"effect": max(lost.value, 0.0), "lower": lower, "threshold": ladder.notice}
    evidence |= {"severity": severity or "none", "rung": rung or "none"}
    words = f"{spec.objective.metric} is estimated at {centre:.3f} +- {band:.3f} (calibration error"
    reason = f"{words} {reference.calibration_error:.3f}): {lost.value:.1%} of skill lost, "
    reason += f"at least {lower:.1%}" if lower > 0 else "perhaps none"
    outcome = Outcome.FAIL if severity else Outcome.INCONCLUSIVE
    return Verdict(check=check, outcome=outcome, reason=reason, evidence=evidence)


def estimated_loss(reference: EstimateReference, skill: Estimate) -> Estimate:
    """Estimated skill lost, with its error: the window's own or the hold-out windows' spread, whichever is larger, the
    estimator's own deviation, and what `windows` hold-out windows leave open of their mean (as performance.lost_skill)."""
    ratio = (skill.value - reference.bias) / reference.skill
    own = np.hypot(max(skill.error, reference.spread), reference.deviation)
    error = np.hypot(own, ratio * reference.spread / np.sqrt(reference.windows)) / reference.skill
    return _with_error(Estimate(1 - ratio, 0.0, 0), reference, error)


def _with_error(value: Estimate, reference: EstimateReference, error: float) -> Estimate:
    return Estimate(value.value, float(error), max(int(reference.windows), FEWEST_BLOCKS))


def _no_basis(spec: ModelSpec, reference: PerformanceReference | None) -> str | None:
    found = reference.estimate if reference else None
    if reference is None or found is None:
        return "the profile holds no basis for estimates: it is older, or its hold-out held too few windows"
    if found.metric != spec.objective.metric or reference.threshold != spec.objective.threshold:
        return f"the hold-out was estimated for {found.metric} at threshold {reference.threshold:g}"
    return f"the hold-out's windows have a skill of {found.skill:.3f}: no basis" if found.skill < SMALLEST_SKILL else None


def _sample(window: Predictions, rows: int, seed: int) -> tuple[Floats, NDArray[np.int64]]:
    scores = window.scores
    some = np.flatnonzero(np.isfinite(scores if scores.ndim == 2 else scores[:, None]).all(axis=1))
    if some.size > rows:
        some = np.sort(np.random.default_rng(seed).choice(some, rows, replace=False))
    return scores[some], window.times[some]


def _curves(reference: EstimateReference) -> Curves:
    return [(np.array(scores), np.array(rates)) for scores, rates in zip(reference.scores, reference.rates, strict=True)]


def _unclear(check: str, reason: str, **evidence: Any) -> Verdict:
    return Verdict(check=check, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence=evidence)


def estimate_reference(spec: ModelSpec, labels: Floats, predictions: Floats, drawn: DrawnWindows) -> EstimateReference | None:
    """What estimates rest on, from the hold-out's labels (n,), predictions and drawn windows; None for a regression or too few.

    Curves are isotonic regressions where these lower the expected calibration error out of fold, else the probabilities as they
    are. Estimates are compared with measurements on chances of curves that were fitted on the other half of the hold-out.
    """
    if spec.objective.task == "regression" or len(labels) < FEWEST_HOLDOUT_ROWS:
        return None
    halves = np.arange(len(labels)) % 2 == 0
    unseen = np.empty((len(labels), 2 if predictions.ndim == 1 else predictions.shape[1]))
    for half in (halves, ~halves):
        unseen[half] = calibrated(fitted_curves(labels[~half], predictions[~half]), predictions[half])
    metric, error = objective_metric(spec), calibration_error(spec)
    plain = _plain_curves(predictions)
    as_is = calibrated(plain, predictions)
    isotonic = error.score(labels, _one(unseen, predictions)) < error.score(labels, _one(as_is, predictions))
    chances = unseen if isotonic else as_is
    seen = _windows(metric, labels, predictions, chances, drawn)
    some = np.isfinite(seen).all(axis=1)
    if some.sum() < _FEWEST_DRAWS:
        return None
    skill, measured, value, score = seen[some].T
    curves = fitted_curves(labels, predictions) if isotonic else plain
    return EstimateReference(
        metric=metric.name,
        scores=[curve[0].tolist() for curve in curves],
        rates=[curve[1].tolist() for curve in curves],
        calibration_error=error.score(labels, _one(chances, predictions)),
        skill=float(measured.mean()),
        bias=float((skill - measured).mean()),
        deviation=float((skill - measured).std(ddof=1)),
        spread=float(skill.std(ddof=1)),
        value_bias=float((value - score).mean()),
        value_deviation=float((value - score).std(ddof=1)),
        windows=independent_windows(seen[:, 0], drawn),
    )


def _windows(metric: Metric, labels: Floats, predictions: Floats, chances: Floats, drawn: DrawnWindows) -> Floats:
    """Per drawn window: estimated and measured skill, estimated and measured value; NaN where all labels are equal."""
    found = np.full((len(drawn.rows), 4), np.nan)
    for place, rows in enumerate(drawn.rows):
        held, said = labels[rows], predictions[rows]
        if np.unique(held).size > 1:
            found[place, 0] = expected_skill(metric, chances[rows], said)
            found[place, 1] = whole_skill(metric, held, said)[0]
            found[place, 2:] = expected_value(metric, chances[rows], said), metric.score(held, said)
    return found


def fitted_curves(labels: Floats, predictions: Floats) -> Curves:
    """One isotonic curve per class (binary: of the second one), thinned to its corners."""
    from sklearn.isotonic import IsotonicRegression

    columns = [predictions] if predictions.ndim == 1 else list(predictions.T)
    curves = []
    for place, column in enumerate(columns):
        truth = labels if predictions.ndim == 1 else (labels == place).astype(np.float64)
        fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(column, truth)
        curves.append((np.asarray(fitted.X_thresholds_), np.asarray(fitted.y_thresholds_)))
    return curves


def _plain_curves(predictions: Floats) -> Curves:
    return [(_PLAIN, _PLAIN)] * (1 if predictions.ndim == 1 else predictions.shape[1])


def _one(chances: Floats, predictions: Floats) -> Floats:
    """Chances in the shape in which metrics take predictions."""
    return chances[:, 1] if predictions.ndim == 1 else chances
