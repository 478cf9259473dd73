"""From samples per key to the evidence of an experiment: means, bounds of the differences, and whether the split is as planned.

Pure. One sample is one sticky key (a user): its rows are averaged, so that busy users count once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.rollout.evidence import ExperimentEvidence
from include.lifecycle.statistics.difference import Arm, Floats, arm_of, mean_difference_bounds, sample_ratio_p_value
from include.lifecycle.statistics.intervals import plain_number


@dataclass(frozen=True, eq=False)
class Metric:
    """One metric by key: `values` (keys,), NaN where nothing is known yet. `decides`: it makes the winner; others only guard."""

    name: str
    values: Floats
    higher_is_better: bool
    decides: bool = False


@dataclass(frozen=True)
class Rules:
    """What was agreed before the test: planned share of the challenger, levels, and samples per arm that are wanted.

    `alpha`: of a wrong winner. `harm_alpha`: of ending an equally good challenger's test early, split over the metrics.
    """

    share: float
    alpha: float
    harm_alpha: float
    minimum_samples: int


@dataclass(frozen=True, eq=False)
class Exposure:
    """Who met whom: `challenger` (keys,) by the first request of each key; `crossed` keys met both arms later; rows by count."""

    challenger: NDArray[np.bool_]
    crossed: int = 0
    rows: int = 0
    rows_without_key: int = 0
    rows_without_label: int = 0
    notes: list[str] = field(default_factory=list)


def experiment_evidence(exposure: Exposure, metrics: Sequence[Metric], rules: Rules) -> ExperimentEvidence:
    """All metrics with their bounds; the deciding one's stand in the evidence itself, oriented so that better is above 0."""
    found = [_compared(one, exposure.challenger, rules, len(metrics)) for one in metrics]
    deciding = next(plain for plain, one in zip(found, metrics, strict=True) if one.decides)
    return ExperimentEvidence(
        samples=deciding["challenger"]["samples"],
        champion_samples=deciding["champion"]["samples"],
        difference=deciding["difference"],
        lower=deciding["lower"],
        upper=deciding["upper"],
        detail={
            "metric": deciding["name"],
            "metrics": found,
            "sample_ratio": _sample_ratio(exposure, rules),
            "crossed": exposure.crossed,
            "rows": exposure.rows,
            "rows_without_key": exposure.rows_without_key,
            "rows_without_label": exposure.rows_without_label,
            "notes": exposure.notes,
        },
    )


def _compared(metric: Metric, challenger: NDArray[np.bool_], rules: Rules, metrics: int) -> dict[str, Any]:
    known = np.isfinite(metric.values)
    ours, theirs = arm_of(metric.values[known & challenger]), arm_of(metric.values[known & ~challenger])
    better, other = (ours, theirs) if metric.higher_is_better else (_mirrored(ours), _mirrored(theirs))
    best_at = rules.minimum_samples / min(rules.share, 1 - rules.share)
    lower, upper = mean_difference_bounds(better, other, rules.alpha, best_at)
    # One side of a two-sided interval: twice the level says the same with the level as the chance to err.
    _, harm_upper = mean_difference_bounds(better, other, min(0.5, 2 * rules.harm_alpha / metrics), best_at)
    return {
        "name": metric.name,
        "decides": metric.decides,
        "higher_is_better": metric.higher_is_better,
        "challenger": _plain(ours),
        "champion": _plain(theirs),
        "difference": plain_number(better.mean - other.mean),
        "lower": plain_number(lower),
        "upper": plain_number(upper),
        "harm_upper": plain_number(harm_upper),
        "alpha": rules.alpha,
        "harm_alpha": rules.harm_alpha / metrics,
    }


def _sample_ratio(exposure: Exposure, rules: Rules) -> dict[str, Any]:
    """Of all keys that were seen, labelled or not: what comes of them must not decide who is counted."""
    counts = int(exposure.challenger.sum()), int((~exposure.challenger).sum())
    p_value = sample_ratio_p_value(counts, (rules.share, 1 - rules.share))
    return {"challenger": counts[0], "champion": counts[1], "planned": rules.share, "p_value": p_value}


def _mirrored(arm: Arm) -> Arm:
    return arm.model_copy(update={"mean": -arm.mean})


def _plain(arm: Arm) -> dict[str, Any]:
    deviation = math.sqrt(arm.variance)
    return {"samples": arm.samples, "mean": plain_number(arm.mean), "deviation": plain_number(deviation)}
