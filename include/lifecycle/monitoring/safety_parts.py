"""The parts of a profile that faults, bias and security are judged by, built beside the rest by referencing.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.feeds.reference import feed_reference
from include.lifecycle.monitoring.outcomes.groups import group_references
from include.lifecycle.monitoring.security.reference import pattern_reference
from include.lifecycle.statistics.null import DrawnWindows

if TYPE_CHECKING:
    import pandas

    from include.lifecycle.monitoring.profile import Profile
    from include.lifecycle.spec import ModelSpec


def safety_parts(
    spec: ModelSpec,
    train: pandas.DataFrame,
    holdout: pandas.DataFrame,
    predictions: NDArray[np.float64],
    kept: NDArray[np.int64],
    drawn: DrawnWindows,
    level: float,
    *,
    seed: int,
) -> dict[str, Any]:
    """Fields of Profile by name. `kept`: rows of the hold-out that `drawn` windows number; `predictions` of all its rows."""
    some = holdout.iloc[kept]
    return {
        "feed": feed_reference(spec, train, some, drawn, level, seed=seed),
        "groups": group_references(spec, holdout, predictions),
    }


def with_patterns(spec: ModelSpec, profile: Profile, holdout: pandas.DataFrame, predictions: NDArray[np.float64]) -> Profile:
    """The profile with what honest queries look like, which is measured against the rest of it."""
    return profile.model_copy(update={"patterns": pattern_reference(spec, profile, holdout, predictions)})
