"""Drift checks of one window: each watched feature against training, predictions against the hold-out. Pure.

A distance fails only above `drift.minimum_effect` and above its own null threshold (profile.py): what a window without drift
shows anyhow is no drift. A column is measured by the method that its null was drawn by, whatever the spec says since.
The training reference may only warn; whether a warning leads to anything is the policy's business.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.columns import counts_of, numbers
from include.lifecycle.monitoring.inputs.roles import drift_kind
from include.lifecycle.monitoring.kinds import PREDICTION_DRIFT
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.profile import PREDICTION, CategoricalProfile, NumericProfile, Profile
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.distances import CELL_DISTANCES, aligned_counts, chi_square
from include.lifecycle.verdicts import Outcome, Verdict

if TYPE_CHECKING:
    from include.lifecycle.monitoring.counting.counts import WindowCounts

Floats = NDArray[np.float64]

METHODS = {
    "wasserstein": "normed Wasserstein",
    "jensen_shannon": "Jensen-Shannon",
    "kl_divergence": "Kullback-Leibler",
    "psi": "population stability index",
    "ks": "Kolmogorov-Smirnov statistic",
    "chi_square": "Cramer's V of the chi-square test",
}
_DISTANCES = ("wasserstein", "jensen_shannon", "kl_divergence")  # what is called a distance in sentences


def check_drift(spec: ModelSpec, profile: Profile, window: Predictions, faulty: frozenset[str] = frozenset()) -> list[Verdict]:
    """One verdict per watched feature that the profile knows; `faulty` ones are inconclusive: a broken feed is not drift."""
    verdicts = []
    columns: dict[str, NumericProfile | CategoricalProfile] = {**profile.numeric, **profile.categorical}
    for name, stored in columns.items():
        if name not in window.features or name not in spec.watched:
            continue
        check = f"{drift_kind(spec, name)}:{name}"
        if name in faulty:
            verdicts.append(_unclear(check, f"{name} has a data fault in this window", rows=window.rows))
            continue
        verdicts.append(_judge(spec, check, stored, _measured(profile, name, stored, window), reference="training"))
    return verdicts


@dataclass(frozen=True)
class _Measured:
    """A column's distance, over how many rows with a value, and what else its evidence tells."""

    distance: float
    rows: int
    more: dict[str, Any]


def _measured(profile: Profile, name: str, stored: NumericProfile | CategoricalProfile, window: Predictions) -> _Measured:
    """By the window's counts where it has any, else by its rows."""
    if window.counts is not None and (name in window.counts.numeric or name in window.counts.categorical):
        return _counted(profile, name, stored, window.counts)
    if isinstance(stored, NumericProfile):
        values = window.values if name == PREDICTION else numbers(window.features[name])
        return _Measured(profile.distance(name, values), int(np.isfinite(values).sum()), {})
    counts = counts_of(window.features[name])
    return _of_cells(stored, *aligned_counts(stored.counts, counts))


def _counted(profile: Profile, name: str, stored: NumericProfile | CategoricalProfile, counts: WindowCounts) -> _Measured:
    from include.lifecycle.monitoring.counting.distances import cells_of, numeric_distance

    if isinstance(stored, NumericProfile):
        counted = counts.numeric[name]
        return _Measured(numeric_distance(stored, profile.reference(name), counted), counted.held, {"counted": True})
    found = _of_cells(stored, *cells_of(stored, counts.categorical[name]))
    return replace(found, more=found.more | {"counted": True})


def _of_cells(stored: CategoricalProfile, reference: Floats, current: Floats) -> _Measured:
    more: dict[str, Any] = {}
    if stored.method == "chi_square":
        statistic, freedom = chi_square(reference, current)
        more = {"chi_square": statistic, "degrees_of_freedom": freedom} if np.isfinite(statistic) else {}
    return _Measured(CELL_DISTANCES[stored.method](reference, current), int(current.sum()), more)


def check_prediction_drift(spec: ModelSpec, profile: Profile, window: Predictions) -> Verdict:
    """Distance of the window's predictions (of a multiclass model: of its predicted classes) from the hold-out's, by the same
    two bars."""
    if isinstance(profile.prediction, CategoricalProfile):
        return _predicted_classes(spec, profile.prediction, window)
    measured = replace(_measured(profile, PREDICTION, profile.prediction, window), rows=window.total)
    verdict = _judge(spec, PREDICTION_DRIFT, profile.prediction, measured, reference="hold-out")
    mean = float(window.values.mean()) if window.rows else None
    return verdict.model_copy(
        update={"evidence": verdict.evidence | {"mean_prediction": mean, "reference_mean": profile.prediction.mean}}
    )


def _predicted_classes(spec: ModelSpec, stored: CategoricalProfile, window: Predictions) -> Verdict:
    names = spec.objective.classes
    numbers_ = window.values[np.isfinite(window.values)].astype(np.int64)
    counts = counts_of(names[number] for number in numbers_ if number < len(names))
    if window.counts is not None and PREDICTION in window.counts.categorical:
        counts = window.counts.categorical[PREDICTION].counts
    measured = replace(_of_cells(stored, *aligned_counts(stored.counts, counts)), rows=window.total)
    verdict = _judge(spec, PREDICTION_DRIFT, stored, measured, reference="hold-out")
    shares = {name: round(count / max(window.total, 1), 6) for name, count in sorted(counts.items())}
    reference = {name: round(count / max(stored.rows, 1), 6) for name, count in sorted(stored.counts.items())}
    told = {"predicted_shares": shares, "reference_shares": reference}
    return verdict.model_copy(update={"evidence": verdict.evidence | told})


def _judge(
    spec: ModelSpec,
    check: str,
    stored: NumericProfile | CategoricalProfile,
    measured: _Measured,
    *,
    reference: Literal["training", "hold-out"],
) -> Verdict:
    distance, rows = measured.distance, measured.rows
    bars, null = spec.monitoring.drift, stored.null_for(rows)
    if rows < spec.monitoring.minimum_rows:
        return _unclear(check, f"{rows} rows; monitoring.minimum_rows asks for {spec.monitoring.minimum_rows}", rows=rows)
    if null is None or not np.isfinite(distance):
        return _unclear(check, "the profile holds no null for this column: it was empty in training or hold-out", rows=rows)
    threshold = max(bars.minimum_effect, null.threshold)
    evidence = {
        "effect": distance,
        "threshold": threshold,
        "minimum_effect": bars.minimum_effect,
        "null_threshold": null.threshold,
        "null_level": null.level,
        "severity": "warn",
        "above_act_effect": distance > bars.act_effect,
        "reference": reference,
        "distance": METHODS[stored.method],
        "method": stored.method,
        "rows": rows,
    } | measured.more
    fails = distance > threshold
    named = METHODS[stored.method] + (" distance" if stored.method in _DISTANCES else "")
    words = f"{named} {distance:.3f} from the {reference}"
    reason = (
        f"{words} is {'above' if fails else 'within'} {threshold:.3f} (null {null.threshold:.3f}, effect {bars.minimum_effect:g})"
    )
    return Verdict(check=check, outcome=Outcome.FAIL if fails else Outcome.PASS, reason=reason, evidence=evidence)


def _unclear(check: str, reason: str, **evidence: Any) -> Verdict:
    return Verdict(check=check, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence=evidence)
