"""The checks of a window, in order: one table, which measure.py walks. A check is a module of its own and one line here.

A later check may look at what earlier ones found (a broken feed is not drift).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from include.lifecycle.monitoring.drift import check_drift, check_prediction_drift
from include.lifecycle.monitoring.faults import check_faults, faulty_columns
from include.lifecycle.monitoring.inputs.attribution import check_attribution
from include.lifecycle.monitoring.inputs.creep import check_creep
from include.lifecycle.monitoring.inputs.multivariate import check_multivariate
from include.lifecycle.monitoring.inputs.novelty import check_novelty, check_recoded
from include.lifecycle.monitoring.inputs.past import SEASONAL, Past
from include.lifecycle.monitoring.inputs.season import Season
from include.lifecycle.monitoring.inputs.seasonal import Seasonal, by_season, seasonal_distances
from include.lifecycle.monitoring.inputs.skew import check_skew
from include.lifecycle.monitoring.kinds import (
    ACCESS,
    ATTRIBUTION_DRIFT,
    BIAS,
    BUSINESS,
    COVARIATE,
    CREEP,
    DATA_FAULT,
    DECAY,
    ESTIMATED_DECAY,
    LABELS,
    MULTIVARIATE_DRIFT,
    PREDICTION_DRIFT,
    RESOURCES,
    SECURITY,
    SKEW,
    TRAFFIC,
    column_of,
)
from include.lifecycle.monitoring.labels import Labelled
from include.lifecycle.monitoring.outcomes.bias import check_bias
from include.lifecycle.monitoring.outcomes.business import check_business
from include.lifecycle.monitoring.outcomes.estimate import check_estimate
from include.lifecycle.monitoring.outcomes.label_flow import check_labels, held_back
from include.lifecycle.monitoring.outcomes.outside import Outside
from include.lifecycle.monitoring.outcomes.resources import check_resources
from include.lifecycle.monitoring.outcomes.traffic import check_traffic
from include.lifecycle.monitoring.performance import check_performance
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.profile import Profile
from include.lifecycle.monitoring.security.queries import check_queries
from include.lifecycle.monitoring.security.rates import check_rates
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Verdict


@dataclass
class Subject:
    """One version's window, its reference, and the verdicts of the checks before. `past`: what earlier windows tell;
    `outside`: what is known beside its predictions. `kept`: numbers that checks add to the window's measurements; `seasonal`:
    distances of columns to their season."""

    spec: ModelSpec
    profile: Profile
    window: Predictions
    labelled: Labelled
    now: datetime
    found: list[Verdict] = field(default_factory=list)
    past: Past | None = None
    outside: Outside | None = None
    kept: dict[str, Any] = field(default_factory=dict)
    seasonal: dict[str, Seasonal] = field(default_factory=dict)

    @property
    def season(self) -> Season | None:
        """The model's recent past, where it is known."""
        return self.past.season if self.past else None

    @property
    def faulty(self) -> frozenset[str]:
        """Columns that have a data fault in this window."""
        return faulty_columns([verdict for verdict in self.found if verdict.check.partition(":")[0] == DATA_FAULT])


@dataclass(frozen=True)
class Check:
    """A kind of signal and what measures it."""

    kind: str
    measure: Callable[[Subject], Sequence[Verdict]]


def _look_up_season(one: Subject) -> Sequence[Verdict]:
    """A check of its own, so that a season that cannot be read hides no drift against training."""
    if one.season is not None and one.spec.monitoring.reference != "training":
        one.seasonal = seasonal_distances(one.spec, one.profile, one.window, one.season)
        one.kept[SEASONAL] = {name: found.distance for name, found in one.seasonal.items() if math.isfinite(found.distance)}
    return []


def _drift(one: Subject) -> Sequence[Verdict]:
    found = check_drift(one.spec, one.profile, one.window, one.faulty)
    judged = by_season(one.spec, found, one.window, one.season, one.seasonal)
    for verdict in judged:
        if verdict.failed:  # a distance that is drift tells nothing about windows without
            one.kept.get(SEASONAL, {}).pop(column_of(verdict.check), None)
    return judged


def _traffic(one: Subject) -> Sequence[Verdict]:
    return check_traffic(one.spec, one.window.window, one.outside.rows, one.outside.recent) if one.outside else []


def _labels(one: Subject) -> Sequence[Verdict]:
    if one.outside is None:
        return []
    coverages = one.outside.recent.coverages(one.window.window, one.spec.monitoring.labels.windows)
    return check_labels(one.spec, one.window, one.labelled, one.outside.flow, coverages, one.now)


CHECKS = (
    Check(DATA_FAULT, lambda one: check_faults(one.spec, one.profile, one.window)),
    Check(DATA_FAULT, lambda one: check_recoded(one.spec, one.profile, one.window)),
    Check(COVARIATE, _look_up_season),
    Check(COVARIATE, _drift),
    Check(CREEP, lambda one: check_creep(one.spec, one.profile, one.window.window, one.season)),
    Check(COVARIATE, lambda one: check_novelty(one.spec, one.profile, one.window, one.faulty)),
    Check(ATTRIBUTION_DRIFT, lambda one: check_attribution(one.spec, one.profile, one.window, one.faulty)),
    Check(MULTIVARIATE_DRIFT, lambda one: check_multivariate(one.spec, one.profile, one.window, one.faulty)),
    Check(SKEW, lambda one: check_skew(one.spec, one.profile, one.window, one.faulty, one.past)),
    Check(PREDICTION_DRIFT, lambda one: [check_prediction_drift(one.spec, one.profile, one.window)]),
    Check(TRAFFIC, _traffic),
    Check(LABELS, _labels),
    Check(DECAY, lambda one: held_back(one.found, check_performance(one.spec, one.profile, one.window.window, one.labelled))),
    Check(ESTIMATED_DECAY, lambda one: check_estimate(one.spec, one.profile, one.window, one.labelled)),
    Check(SECURITY, lambda one: check_queries(one.spec, one.profile, one.window, one.faulty)),
    Check(ACCESS, lambda one: check_rates(one.spec, one.window, one.window.access)),
    Check(BIAS, lambda one: check_bias(one.spec, one.profile, one.window, one.labelled)),
    Check(RESOURCES, lambda one: check_resources(one.spec, one.window, one.outside.usage if one.outside else None)),
    Check(BUSINESS, lambda one: check_business(one.spec, one.window.window, one.outside.ask if one.outside else None)),
)
