"""Attribution drift: the features that move the model's answers are not those that moved them on its hold-out. Pure.

A feature's attribution is the share of the predictions' variance that its values explain alone: Sobol's first-order index, read
from the log by binning. It needs neither labels nor the model, only numpy, so it is cheap enough for every window; what a feature
does only together with another one it does not see. Windows are compared with the hold-out by the ranking, as SageMaker Clarify
compares SHAP values: NDCG with the hold-out's attributions as gains.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.columns import categories, numbers
from include.lifecycle.monitoring.inputs.reference import AttributionReference, FeatureCells
from include.lifecycle.monitoring.kinds import ATTRIBUTION_DRIFT
from include.lifecycle.monitoring.nulls import null_for
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.profile import Profile
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Outcome, Verdict

Floats = NDArray[np.float64]
Cells = NDArray[np.int64]
SHOWN = 5  # features that a verdict names


def main_effects(cells: Cells, outputs: Floats, size: int) -> float:
    """Share of the variance of `outputs` (n, k) that the feature's cells (n,), 0 to size - 1, explain, in [0, 1]; NaN for n < 2.

    First-order index V(E[y|x]) / V(y) (Sobol 1993; Saltelli et al. 2008, "Global Sensitivity Analysis", ch. 4) with the epsilon
    squared correction for the number of cells (Kelley 1935), summed over the k outputs. 0 when nothing varies.
    """
    rows = len(outputs)
    counts = np.bincount(cells, minlength=size).astype(np.float64)
    held = counts > 0
    groups = int(held.sum())
    if rows - groups < 1:
        return float("nan")
    centred = outputs - outputs.mean(axis=0)
    total = float(np.square(centred).sum())
    if total <= 0:
        return 0.0
    between = 0.0
    for column in centred.T:
        sums = np.bincount(cells, weights=column, minlength=size)[held]
        between += float(np.sum(np.square(sums) / counts[held]))
    return float(np.clip(1 - (1 - between / total) * (rows - 1) / (rows - groups), 0.0, 1.0))


def ranking_gain(reference: Floats, current: Floats) -> float:
    """NDCG of the ranking by `current` (k,) with `reference` (k,) as gains, in [0, 1]: 1 for the same order; NaN without gains.

    Jarvelin and Kekalainen (2002), ACM TOIS 20:422-446; SageMaker Clarify alerts below 0.90 of it.
    """
    discounts = 1 / np.log2(np.arange(2, reference.size + 2))
    best = float(np.sort(reference)[::-1] @ discounts)
    if best <= 0 or not np.isfinite(current).all():
        return float("nan")
    _, tied = np.unique(-current, return_inverse=True)  # equal ones share the mean discount of their places
    places = np.argsort(np.argsort(-current, kind="stable"), kind="stable")
    shared = np.bincount(tied, weights=discounts[places]) / np.bincount(tied)
    return min(float(reference @ shared[tied]) / best, 1.0)


def cells_of(known: FeatureCells, values: NDArray[Any]) -> tuple[Cells, int]:
    """The cell of each value (n,) and how many cells there are: by edges, or by category; one for the rest, one for nulls."""
    if known.categories is None:
        found, edges = numbers(values), np.array(known.edges)
        cells = np.searchsorted(edges, found)
        cells[~np.isfinite(found)] = edges.size + 1
        return cells.astype(np.int64), edges.size + 2
    number = {name: place for place, name in enumerate(known.categories)}
    rest = len(number)
    places = [rest + 1 if text is None else number.get(text, rest) for text in categories(values)]
    return np.array(places, dtype=np.int64), rest + 2


def check_attribution(
    spec: ModelSpec, profile: Profile, window: Predictions, faulty: frozenset[str] = frozenset()
) -> list[Verdict]:
    """One verdict, `attribution_drift`; none when it is switched off, or was when the version was registered."""
    reference = profile.inputs.attribution if profile.inputs else None
    if not spec.monitoring.attribution.enabled or reference is None:
        return []
    if problem := _problem(spec, reference, window, faulty):
        return [Verdict(check=ATTRIBUTION_DRIFT, outcome=Outcome.INCONCLUSIVE, reason=problem, evidence={"rows": window.rows})]
    outputs = window.scores.reshape(window.rows, -1)
    some = np.isfinite(outputs).all(axis=1)
    shares = [
        main_effects(cells[some], outputs[some], size)
        for cells, size in (cells_of(known, window.features[name]) for name, known in reference.features.items())
    ]
    expected = np.array([known.effect for known in reference.features.values()])
    return [_judge(spec, reference, expected, np.array(shares), int(some.sum()))]


def _problem(spec: ModelSpec, reference: AttributionReference, window: Predictions, faulty: frozenset[str]) -> str | None:
    missing = [name for name in reference.features if name not in window.features]
    if window.rows < spec.monitoring.minimum_rows:
        return f"{window.rows} rows; monitoring.minimum_rows asks for {spec.monitoring.minimum_rows}"
    if missing:
        return f"the log is not read for {', '.join(missing)}, which the version was trained with"
    if broken := sorted(faulty & reference.features.keys()):
        return f"{', '.join(broken)} has a data fault in this window"
    return None


def _judge(spec: ModelSpec, reference: AttributionReference, expected: Floats, found: Floats, rows: int) -> Verdict:
    gain, null = ranking_gain(expected, found), null_for(reference.nulls, rows)
    if null is None or not np.isfinite(gain):
        reason = "the hold-out was too short for a null, or no feature explains the predictions alone"
        return Verdict(check=ATTRIBUTION_DRIFT, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence={"rows": rows})
    least = 1 - spec.monitoring.attribution.minimum_ndcg
    threshold, effect = max(least, null.threshold), 1 - gain
    names, fails = list(reference.features), effect > threshold
    moved = np.argsort(-np.abs(found - expected), kind="stable")[:SHOWN]
    evidence = {
        "effect": effect,
        "threshold": threshold,
        "minimum_effect": least,
        "null_threshold": null.threshold,
        "null_level": null.level,
        "ndcg": gain,
        "severity": "warn",
        "reference": "hold-out",
        "rows": rows,
        "features": {
            names[place]: {"share": round(float(found[place]), 4), "reference": round(float(expected[place]), 4)}
            for place in moved
        },
    }
    top = names[int(np.argmax(found))]
    reason = (
        f"NDCG {gain:.3f} of the features' ranking is {'below' if fails else 'at least'} {1 - threshold:.3f}; {top} leads, "
        f"in the hold-out {names[int(np.argmax(expected))]}"
    )
    return Verdict(check=ATTRIBUTION_DRIFT, outcome=Outcome.FAIL if fails else Outcome.PASS, reason=reason, evidence=evidence)
