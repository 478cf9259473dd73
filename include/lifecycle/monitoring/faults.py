"""Data-fault checks of one window: a column that vanished, nulls that jumped, a unit that changed. Pure.

A fault is not drift: it alerts and freezes training until the feed is right again (rows of a faulted feed teach nonsense).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.columns import numbers
from include.lifecycle.monitoring.kinds import DATA_FAULT, column_of
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.profile import ColumnProfile, NumericProfile, Profile
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import wilson
from include.lifecycle.verdicts import Outcome, Verdict

NULL_JUMP = 0.25
"""Share of nulls above training's (lower bound of its interval) that is a fault, if hold-out windows did not show as much."""
UNIT_FACTOR = 3.0
"""Ratio of medians, up or down, that hints at another unit (feet for metres 3.28). Smaller ones show as drift."""
SAME_FACTOR = 1.3
"""Another unit scales every quantile alike, within this ratio; a season or a storm does not."""
_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_GONE = 0.999


def check_faults(spec: ModelSpec, profile: Profile, window: Predictions) -> list[Verdict]:
    """One verdict per feature that the profile knows; the first fault found names the column's verdict."""
    if window.rows < spec.monitoring.minimum_rows:
        reason = f"{window.rows} rows; monitoring.minimum_rows asks for {spec.monitoring.minimum_rows}"
        return [Verdict(check=DATA_FAULT, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence={"rows": window.rows})]
    known = profile.numeric | profile.categorical
    return [_one(name, stored, window.features[name]) for name, stored in known.items() if name in window.features]


def faulty_columns(verdicts: list[Verdict]) -> frozenset[str]:
    """Columns whose data-fault verdict failed."""
    return frozenset(column_of(verdict.check) for verdict in verdicts if verdict.failed and verdict.check != DATA_FAULT)


def _one(name: str, stored: ColumnProfile, values: NDArray[Any]) -> Verdict:
    check = f"{DATA_FAULT}:{name}"
    numeric = numbers(values) if isinstance(stored, NumericProfile) else None
    nulls = int((~np.isfinite(numeric)).sum()) if numeric is not None else sum(value is None for value in values)
    share = nulls / len(values)
    evidence: dict[str, Any] = {"null_share": share, "reference_null_share": stored.null_share, "rows": len(values)}
    fault = _null_fault(nulls, len(values), stored)
    if fault is None and numeric is not None and isinstance(stored, NumericProfile):
        fault = _unit_fault(numeric[np.isfinite(numeric)], stored, evidence)
    if fault is None:
        return Verdict(check=check, outcome=Outcome.PASS, reason=f"{name}: nulls and scale as in training", evidence=evidence)
    kind, effect, reason = fault
    evidence |= {"fault": kind, "effect": effect, "severity": "critical"}
    return Verdict(check=check, outcome=Outcome.FAIL, reason=f"{name}: {reason}", evidence=evidence)


def _null_fault(nulls: int, rows: int, stored: ColumnProfile) -> tuple[str, float, str] | None:
    share, expected = nulls / rows, stored.null_share
    allowed = max(expected + NULL_JUMP, min(stored.null_share_bar, (1 + expected) / 2))
    if share >= _GONE and allowed < _GONE:
        return "missing", share - expected, f"the column is missing ({expected:.1%} nulls in training)"
    if (lower := wilson(nulls, rows, 0.99).lower) > allowed:
        return (
            "nulls",
            share - expected,
            f"{share:.1%} nulls (at least {lower:.1%}), {expected:.1%} in training, allowed {allowed:.1%}",
        )
    return None


def _unit_fault(values: NDArray[np.float64], stored: NumericProfile, evidence: dict[str, Any]) -> tuple[str, float, str] | None:
    if not values.size:
        return None  # hardly filled in training, empty now: nothing to compare
    found, expected = np.quantile(values, _QUANTILES), np.array([stored.quantile(level) for level in _QUANTILES])
    if (found * expected <= 0).any():
        return None  # zeros or another sign: no common factor to tell
    ratios = found / expected
    ratio = float(ratios[_QUANTILES.index(0.5)])
    evidence["median_ratio"] = ratio
    if max(ratio, 1 / ratio) < UNIT_FACTOR or ratios.max() / ratios.min() > SAME_FACTOR:
        return None
    reason = f"median {found[2]:.4g} against {expected[2]:.4g} in training, every quantile x{ratio:.2g}: another unit?"
    return "unit", abs(float(np.log(ratio))), reason
