"""What a measure does in windows without drift, as profiles store it. Made at registration, read by the checks of a window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from include.lifecycle.statistics.null import DrawnWindows, independent_windows, null_threshold

FEWEST_DRAWS = 20
"""Drawn windows in which the measure is known; fewer tell no null."""


class Null(BaseModel):
    """What a distance does without drift in windows of at least `rows` rows: `threshold` is exceeded with probability `level`.

    Resting on `draws` drawn windows that are worth `windows` independent ones; `median` of their distances.
    """

    model_config = ConfigDict(frozen=True)

    rows: int
    draws: int
    windows: float
    level: float
    median: float
    threshold: float


def null_for(nulls: Sequence[Null], rows: int) -> Null | None:
    """The null of the largest window size not above `rows`: smaller windows are noisier, so this errs to the safe side."""
    fitting = [null for null in nulls if null.rows <= rows]
    return fitting[-1] if fitting else next(iter(nulls), None)


def null_of(values: NDArray[np.float64], drawn: DrawnWindows, rows: int, level: float) -> Null | None:
    """The null of a measure with one value per drawn window (NaN where it is unknown); None when too few are known."""
    some = np.isfinite(values)
    if some.sum() < FEWEST_DRAWS:
        return None
    independent = independent_windows(values, drawn)
    threshold = null_threshold(values[some], level, independent)
    median = float(np.median(values[some]))
    return Null(rows=rows, draws=int(some.sum()), windows=independent, level=level, median=median, threshold=threshold)


def share_bar(flags: NDArray[np.bool_], drawn: DrawnWindows, level: float) -> float:
    """Share of flagged rows that a window of the hold-out exceeds with probability `level`, at most 1. `flags`: (n,)."""
    shares = np.array([float(flags[chosen].mean()) for chosen in drawn.rows])
    return min(null_threshold(shares, level, independent_windows(shares, drawn)), 1.0) if shares.any() else 0.0
