"""Forward-chaining folds: each validates on a later stretch of time than it was trained on, a gap of the label delay between.

Pure; tuning uses it. A plain shuffle would let a trial learn from labels that did not exist yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.errors import DataInvalidError

Times = NDArray[np.datetime64]
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Fold:
    """Row positions of one fold; every training time + gap <= every validation time."""

    train: Rows
    validation: Rows


def forward_folds(times: Times, folds: int, gap: timedelta) -> list[Fold]:
    """Cut time into `folds` + 1 stretches of about equal row counts; fold k validates on stretch k and trains on all before.

    Args:
        times: event times (n,), naive UTC, in any order.
        folds: how many folds are wanted; fewer come back when equal times or the gap leave a fold without rows.
        gap: the label delay; rows nearer than that before a stretch are left out of its training.

    Raises:
        DataInvalidError: not one fold is left.
    """
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    starts = np.unique(ordered[[len(ordered) * k // (folds + 1) for k in range(1, folds + 1)]]) if len(ordered) else ordered
    found = []
    for start, end in zip(starts, [*starts[1:], None], strict=True):
        # `right`: a training time may be exactly `gap` older, never younger
        known = int(np.searchsorted(ordered, start - np.timedelta64(gap, "us"), side="right"))
        first = int(np.searchsorted(ordered, start))
        last = len(ordered) if end is None else int(np.searchsorted(ordered, end))
        if min(known, first):
            found.append(Fold(order[: min(known, first)], order[first:last]))
    if not found:
        raise DataInvalidError(f"{len(times)} rows leave no forward-chaining fold with a gap of {gap}: too little time span")
    return found
