"""How far each value lies from the rest of its column, by a rule that the outliers themselves cannot move. Pure.

validation.py counts what lies beyond `data.outliers.threshold` and sets aside what lies beyond `quarantine_beyond`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.data.findings import SHOWN, Finding, passed
from include.lifecycle.sections.data_checks import OutliersSection
from include.lifecycle.verdicts import Outcome

Floats = NDArray[np.float64]
Method = Literal["robust_z", "iqr"]
MINIMUM_VALUES = 30
"""Fewer finite values say nothing about what is usual in a column."""
_MAD_FACTOR = 0.6745  # 0.75 quantile of the standard normal: makes MAD an estimate of the standard deviation
_MEAN_FACTOR = 1.253314  # sqrt(pi / 2): the same for the mean absolute deviation


def distances(values: Floats, method: Method) -> Floats:
    """Distance of each value (n,) from the rest, >= 0; NaN where the value is no finite number. Fewer than two values: zeros."""
    finite = np.isfinite(values)
    found = np.full(values.shape, np.nan)
    if finite.any():
        found[finite] = _robust_z(values[finite]) if method == "robust_z" else _beyond_fences(values[finite])
    return found


def _robust_z(values: Floats) -> Floats:
    """Modified z-score 0.6745 |x - median| / MAD (Iglewicz and Hoaglin 1993, How to Detect and Handle Outliers, p. 11).

    Where more than half of the values are equal, MAD is 0 and says nothing; the mean absolute deviation takes its place
    (as in IBM SPSS's modified z-score). A constant column has no outliers.
    """
    apart = np.abs(values - np.median(values))
    scale = float(np.median(apart)) / _MAD_FACTOR or float(np.mean(apart)) * _MEAN_FACTOR
    return apart / scale if scale else np.zeros_like(values)


def _beyond_fences(values: Floats) -> Floats:
    """How many interquartile ranges a value lies outside the quartiles (Tukey 1977, Exploratory Data Analysis: fences 1.5 and 3).

    Where the quartiles are equal the range is 0 and measures nothing; then half the width of the central 90 % takes its place,
    and where that is 0 too, the standard deviation.
    """
    low, first, third, high = np.quantile(values, [0.05, 0.25, 0.75, 0.95])
    outside = np.maximum(np.maximum(first - values, values - third), 0.0)
    scale = float(third - first) or float(high - low) / 2 or float(np.std(values))
    return outside / scale if scale else np.zeros_like(values)


def outlier_finding(column: str, values: Floats, found: Floats, rule: OutliersSection) -> Finding:
    """Whether at most `rule.max_share` of a column's finite values lie beyond the threshold; too few values are inconclusive."""
    finite = int(np.isfinite(values).sum())
    beyond = found > rule.threshold
    count = int(beyond.sum())
    detail = f"beyond {rule.threshold:g} by {rule.method}; {count} of {finite} values, allowed {rule.max_share:.2%}"
    if finite < MINIMUM_VALUES:
        told = f"{finite} finite values, {MINIMUM_VALUES} are needed"
        return Finding(check="outliers", column=column, outcome=Outcome.INCONCLUSIVE, warning=True, rows=len(values), detail=told)
    farthest = np.argsort(-np.nan_to_num(found, nan=-1.0))[: min(SHOWN, count)]
    return Finding(
        check="outliers",
        column=column,
        outcome=passed(count > rule.max_share * finite),
        rows=len(values),
        unexpected=count,
        examples=[float(value) for value in values[farthest]],
        detail=detail,
    )
