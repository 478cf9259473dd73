"""Multivariate drift: a window whose rows a classifier tells from the hold-out's, though each column alone may look the same.

Bounded: `multivariate.rows` rows of either side, one thread. Off unless asked for: it brings scikit-learn into the monitor, takes
some tenths of a CPU second per window, and at registration `multivariate.draws` times as long.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.columns import numbers
from include.lifecycle.monitoring.inputs.attribution import cells_of
from include.lifecycle.monitoring.inputs.reference import JOINT_SAMPLE, FeatureCells, MultivariateReference
from include.lifecycle.monitoring.kinds import MULTIVARIATE_DRIFT
from include.lifecycle.monitoring.nulls import null_for
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.profile import Profile
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.domain import DomainAuc, Sample, domain_auc
from include.lifecycle.training.threads import native_threads
from include.lifecycle.verdicts import Outcome, Verdict

Floats = NDArray[np.float64]

PARTS = 20
"""Blocks that a live window is cut into, of equal length."""


def as_numbers(known: FeatureCells, values: NDArray[Any]) -> Floats:
    """A column (n,) as the classifier reads it: numbers, or codes of categories; NaN where there is no value."""
    if known.categories is None:
        found = numbers(values)
        return np.where(np.isfinite(found), found, np.nan)
    cells, size = cells_of(known, values)
    return np.where(cells == size - 1, np.nan, cells.astype(np.float64))


def check_multivariate(
    spec: ModelSpec, profile: Profile, window: Predictions, faulty: frozenset[str] = frozenset()
) -> list[Verdict]:
    """One verdict, `multivariate_drift`; none when it is switched off, or was when the version was registered."""
    reference = profile.inputs.multivariate if profile.inputs else None
    if not spec.monitoring.multivariate.enabled or reference is None:
        return []
    if problem := _problem(spec, reference, window, faulty):
        return [Verdict(check=MULTIVARIATE_DRIFT, outcome=Outcome.INCONCLUSIVE, reason=problem, evidence={"rows": window.rows})]
    rules = spec.monitoring.multivariate
    rows = min(rules.rows, window.rows)
    chosen = np.sort(np.random.default_rng(reference.seed).choice(window.rows, rows, replace=False))
    live = np.column_stack([as_numbers(known, window.features[name][chosen]) for name, known in reference.features.items()])
    kept = np.column_stack([profile.samples[JOINT_SAMPLE + name] for name in reference.features])
    begun, ended = window.window.start.timestamp(), window.window.end.timestamp()
    parts = np.floor((window.times[chosen] / 1e6 - begun) / (ended - begun) * PARTS).astype(np.int64)
    with native_threads(1):
        found = domain_auc(
            Sample(kept, profile.samples[JOINT_SAMPLE].astype(np.int64)),
            Sample(live, parts),
            categorical=[known.categories is not None for known in reference.features.values()],
            folds=rules.folds,
            confidence=rules.confidence,
            seed=reference.seed,
        )
    return [_judge(spec, reference, found, rows)]


def _problem(spec: ModelSpec, reference: MultivariateReference, window: Predictions, faulty: frozenset[str]) -> str | None:
    if window.rows < spec.monitoring.minimum_rows:
        return f"{window.rows} rows; monitoring.minimum_rows asks for {spec.monitoring.minimum_rows}"
    if missing := [name for name in reference.features if name not in window.features]:
        return f"the log is not read for {', '.join(missing)}, which the version was trained with"
    if broken := sorted(faulty & reference.features.keys()):
        return f"{', '.join(broken)} has a data fault in this window"
    return None


def _judge(spec: ModelSpec, reference: MultivariateReference, found: DomainAuc, rows: int) -> Verdict:
    null, limit = null_for(reference.nulls, rows), spec.monitoring.multivariate.maximum_auc
    if null is None or not np.isfinite(found.auc):
        reason = "the hold-out was too short for a null, or the window has too few blocks of time"
        return Verdict(check=MULTIVARIATE_DRIFT, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence={"rows": rows})
    threshold = max(limit, null.threshold)
    evidence = {
        "effect": found.auc - 0.5,
        "auc": found.auc,
        "lower": found.lower,
        "upper": found.upper,
        "threshold": threshold,
        "null_threshold": null.threshold,
        "null_level": null.level,
        "severity": "warn",
        "reference": "hold-out",
        "rows": rows,
    }
    told = f"AUC {found.auc:.3f} ({found.lower:.3f} to {found.upper:.3f}) of telling the window from the hold-out"
    if found.auc <= threshold:
        return _verdict(Outcome.PASS, f"{told} is within {threshold:.3f}", evidence)
    if found.lower <= limit:
        return _verdict(Outcome.INCONCLUSIVE, f"{told} is above {threshold:.3f}, its interval is not above {limit:g}", evidence)
    return _verdict(Outcome.FAIL, f"{told} is above {threshold:.3f}", evidence)


def _verdict(outcome: Outcome, reason: str, evidence: dict[str, Any]) -> Verdict:
    return Verdict(check=MULTIVARIATE_DRIFT, outcome=outcome, reason=reason, evidence=evidence)
