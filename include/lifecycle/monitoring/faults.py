"""Data-fault checks of one window: a column that vanished, nulls that jumped, a unit that changed. Pure.

A fault is not drift: it alerts and freezes training until the feed is right again (rows of a faulted feed teach nonsense).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.columns import numbers
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.profile import ColumnProfile, NumericProfile, Profile
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import wilson
from include.lifecycle.verdicts import Outcome, Verdict

DATA_FAULT = "data_fault"
NULL_JUMP = 0.10
"""Share of nulls above training's (lower bound of its interval) that is a fault."""
UNIT_FACTOR = 3.0
"""Ratio of medians, up or down, that hints at another unit (feet for metres 3.28, Fahrenheit for Celsius about 3.8)."""
SPREAD_FACTOR = 1.5
"""Another unit also scales the interquartile range; a season shifts the median and leaves the spread."""
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
    return frozenset(verdict.check.partition(":")[2] for verdict in verdicts if verdict.failed and verdict.check != DATA_FAULT)


def _one(name: str, stored: ColumnProfile, values: NDArray[Any]) -> Verdict:
    check = f"{DATA_FAULT}:{name}"
    numeric = numbers(values) if isinstance(stored, NumericProfile) else None
    nulls = int((~np.isfinite(numeric)).sum()) if numeric is not None else sum(value is None for value in values)
    share = nulls / len(values)
    evidence: dict[str, Any] = {"null_share": share, "reference_null_share": stored.null_share, "rows": len(values)}
    fault = _null_fault(nulls, len(values), stored.null_share)
    if fault is None and numeric is not None and isinstance(stored, NumericProfile):
        fault = _unit_fault(numeric[np.isfinite(numeric)], stored, evidence)
    if fault is None:
        return Verdict(check=check, outcome=Outcome.PASS, reason=f"{name}: nulls and scale as in training", evidence=evidence)
    kind, effect, reason = fault
    evidence |= {"fault": kind, "effect": effect, "severity": "critical"}
    return Verdict(check=check, outcome=Outcome.FAIL, reason=f"{name}: {reason}", evidence=evidence)


def _null_fault(nulls: int, rows: int, expected: float) -> tuple[str, float, str] | None:
    share, allowed = nulls / rows, expected + NULL_JUMP
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
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
    spread = stored.quantile(0.75) - stored.quantile(0.25)
    expected = stored.quantile(0.5)
    if spread <= 0 or high <= low or abs(expected) < spread / 10 or median * expected <= 0:
        return None  # no scale to compare: nearly constant, centred on zero, or of another sign
    ratio, spreads = float(median / expected), float((high - low) / spread)
    evidence |= {"median_ratio": ratio, "spread_ratio": spreads}
    scaled = max(ratio, 1 / ratio) >= UNIT_FACTOR and max(spreads, 1 / spreads) >= SPREAD_FACTOR
    if not scaled or (ratio > 1) != (spreads > 1):
        return None
    reason = f"median {median:.4g} against {expected:.4g} in training (x{ratio:.2g}, spread x{spreads:.2g}): another unit?"
    return "unit", abs(float(np.log(ratio))), reason
