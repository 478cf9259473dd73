"""Statistics of query patterns in honest traffic: runs of neighbouring hold-out rows, stored with the profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.reference_parts import PatternReference
from include.lifecycle.monitoring.security.patterns import pattern_shares, queries_of
from include.lifecycle.statistics.null import DrawnWindows, independent_windows

if TYPE_CHECKING:
    import pandas

    from include.lifecycle.monitoring.profile import Profile
    from include.lifecycle.spec import ModelSpec

DRAWS = 60
FEWEST_RUNS = 5  # disjoint runs that a hold-out must have to say what honest traffic does


def pattern_reference(
    spec: ModelSpec, profile: Profile, holdout: pandas.DataFrame, predictions: NDArray[np.float64]
) -> PatternReference | None:
    """From runs of `security.queries` rows in order of event time; None when the hold-out has too few rows."""
    rules = spec.monitoring.security
    order = np.argsort(holdout[spec.data.event_time].to_numpy(), kind="stable")
    runs = len(order) // rules.queries
    if runs < FEWEST_RUNS:
        return None
    starts = np.unique(np.linspace(0, runs - 1, min(runs, DRAWS)).round().astype(np.int64))
    rows = np.concatenate([order[at * rules.queries : (at + 1) * rules.queries] for at in starts])
    some = holdout.iloc[rows]
    queries = queries_of(spec, profile, {name: some[name] for name in spec.watched}, predictions[rows])
    draws: dict[str, list[float]] = {}
    for at in range(len(starts)):
        run = queries.take(np.arange(at * rules.queries, (at + 1) * rules.queries))
        for name, value in pattern_shares(run, rules.boundary_width).items():
            if np.isfinite(value):
                draws.setdefault(name, []).append(value)
    drawn = DrawnWindows([], [int(at) for at in starts], float(runs), 1)
    windows = {n: independent_windows(np.array(v), drawn) for n, v in draws.items() if len(v) == len(starts)}
    return PatternReference(rows=rules.queries, draws={name: draws[name] for name in windows}, windows=windows)
