"""Skew: serving differs from training from the version's start on, so nothing drifted: the two feeds are not the same. Pure.

The first windows of a version are compared with its hold-out, the data nearest to them in time. Later windows only where a skew
stands open, until it is gone. A retraining does not mend skew, so it warns (TFX's training-serving skew; Breck et al. 2019,
"Data validation for machine learning", SysML).
"""

from __future__ import annotations

import numpy as np

from include.lifecycle.monitoring.columns import counts_of, numbers
from include.lifecycle.monitoring.inputs.past import Past
from include.lifecycle.monitoring.inputs.reference import SKEW_SAMPLE, HoldoutColumn
from include.lifecycle.monitoring.kinds import SKEW
from include.lifecycle.monitoring.nulls import null_for
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.profile import Profile
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.distances import NumericReference, category_distance
from include.lifecycle.verdicts import Outcome, Verdict


def check_skew(
    spec: ModelSpec, profile: Profile, window: Predictions, faulty: frozenset[str] = frozenset(), past: Past | None = None
) -> list[Verdict]:
    """One verdict per watched column while the version is new, or while its skew stands; none without a past or a hold-out."""
    if past is None or profile.inputs is None:
        return []
    new = past.place(window.version, window.window) < spec.monitoring.skew.windows
    verdicts = []
    for name, held in profile.inputs.holdout.items():
        check = f"{SKEW}:{name}"
        if name not in spec.watched or name not in window.features or not (new or check in past.open_causes):
            continue
        if name in faulty:
            verdicts.append(Verdict(check=check, outcome=Outcome.INCONCLUSIVE, reason=f"{name} has a data fault in this window"))
        else:
            verdicts.append(_judge(spec, check, held, profile, window, name))
    return verdicts


def _judge(spec: ModelSpec, check: str, held: HoldoutColumn, profile: Profile, window: Predictions, name: str) -> Verdict:
    rows, distance = _distance(held, profile, window, name)
    null, effect = null_for(held.nulls, rows), spec.monitoring.skew.minimum_effect
    if rows < spec.monitoring.minimum_rows or null is None:
        few = f"{rows} rows; monitoring.minimum_rows asks for {spec.monitoring.minimum_rows}"
        reason = few if null else "the hold-out was too short for a null"
        return Verdict(check=check, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence={"rows": rows})
    threshold = max(effect, null.threshold)
    fails = distance > threshold
    evidence = {
        "effect": distance,
        "threshold": threshold,
        "minimum_effect": effect,
        "null_threshold": null.threshold,
        "null_level": null.level,
        "severity": "warn",
        "reference": "hold-out",
        "distance": "Jensen-Shannon" if held.counts is not None else "normed Wasserstein",
        "rows": rows,
    }
    reason = f"distance {distance:.3f} of served from held-out values is {'above' if fails else 'within'} {threshold:.3f}"
    return Verdict(check=check, outcome=Outcome.FAIL if fails else Outcome.PASS, reason=reason, evidence=evidence)


def _distance(held: HoldoutColumn, profile: Profile, window: Predictions, name: str) -> tuple[int, float]:
    """How many values there are, and how far they lie from the hold-out's."""
    if held.counts is not None:
        counts = counts_of(window.features[name])
        return sum(counts.values()), category_distance(held.counts, counts)
    values = numbers(window.features[name])
    reference = NumericReference(profile.samples[SKEW_SAMPLE + name], held.scale or 1.0)
    return int(np.isfinite(values).sum()), reference.distance(values)
