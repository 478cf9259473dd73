"""The checks of a window, in order: one table, which measure.py walks. A check is a module of its own and one line here.

A later check may look at what earlier ones found (a broken feed is not drift).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from include.lifecycle.monitoring.drift import check_drift, check_prediction_drift
from include.lifecycle.monitoring.faults import check_faults, faulty_columns
from include.lifecycle.monitoring.inputs.attribution import check_attribution
from include.lifecycle.monitoring.inputs.multivariate import check_multivariate
from include.lifecycle.monitoring.inputs.novelty import check_novelty, check_recoded
from include.lifecycle.monitoring.inputs.past import Past
from include.lifecycle.monitoring.inputs.skew import check_skew
from include.lifecycle.monitoring.kinds import (
    ATTRIBUTION_DRIFT,
    BIAS,
    COVARIATE,
    DATA_FAULT,
    DECAY,
    ESTIMATED_DECAY,
    MULTIVARIATE_DRIFT,
    PREDICTION_DRIFT,
    SKEW,
)
from include.lifecycle.monitoring.labels import Labelled
from include.lifecycle.monitoring.outcomes.bias import check_bias
from include.lifecycle.monitoring.outcomes.estimate import check_estimate
from include.lifecycle.monitoring.performance import check_performance
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.profile import Profile
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Verdict


@dataclass
class Subject:
    """One version's window, its reference, and the verdicts of the checks before. `past`: what earlier windows tell."""

    spec: ModelSpec
    profile: Profile
    window: Predictions
    labelled: Labelled
    now: datetime
    found: list[Verdict] = field(default_factory=list)
    past: Past | None = None

    @property
    def faulty(self) -> frozenset[str]:
        """Columns that have a data fault in this window."""
        return faulty_columns([verdict for verdict in self.found if verdict.check.partition(":")[0] == DATA_FAULT])


@dataclass(frozen=True)
class Check:
    """A kind of signal and what measures it."""

    kind: str
    measure: Callable[[Subject], Sequence[Verdict]]


CHECKS = (
    Check(DATA_FAULT, lambda one: check_faults(one.spec, one.profile, one.window)),
    Check(DATA_FAULT, lambda one: check_recoded(one.spec, one.profile, one.window)),
    Check(COVARIATE, lambda one: check_drift(one.spec, one.profile, one.window, one.faulty)),
    Check(COVARIATE, lambda one: check_novelty(one.spec, one.profile, one.window, one.faulty)),
    Check(ATTRIBUTION_DRIFT, lambda one: check_attribution(one.spec, one.profile, one.window, one.faulty)),
    Check(MULTIVARIATE_DRIFT, lambda one: check_multivariate(one.spec, one.profile, one.window, one.faulty)),
    Check(SKEW, lambda one: check_skew(one.spec, one.profile, one.window, one.faulty, one.past)),
    Check(PREDICTION_DRIFT, lambda one: [check_prediction_drift(one.spec, one.profile, one.window)]),
    Check(DECAY, lambda one: check_performance(one.spec, one.profile, one.window.window, one.labelled)),
    Check(ESTIMATED_DECAY, lambda one: check_estimate(one.spec, one.profile, one.window, one.labelled)),
    Check(BIAS, lambda one: check_bias(one.spec, one.profile, one.window, one.labelled)),
)
