"""How a model's false-alarm budget is split over the kinds of drift-like tests: a Bonferroni bound with weights. Pure.

Half is kept for distances of columns and predictions, whatever else is switched on; the other families share the rest equally.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal

from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.null import false_alarm_level

Family = Literal["drift", "novelty", "skew", "attribution", "multivariate", "creep", "bias", "business"]
DAY = timedelta(days=1)
DRIFT_SHARE: Final = 0.5
"""The part of `drift.false_alarms_per_quarter` that is kept for `covariate` and `prediction_drift`."""


def family_tests(spec: ModelSpec) -> dict[Family, int]:
    """Tests per window of each family that is switched on."""
    columns = len(spec.watched)
    found: dict[Family, int] = {"drift": columns + 1, "novelty": 2 * columns}
    if spec.monitoring.skew.windows:
        found["skew"] = columns
    if spec.monitoring.attribution.enabled:
        found["attribution"] = 1
    if spec.monitoring.multivariate.enabled:
        found["multivariate"] = 1
    if spec.monitoring.creep.weeks:
        found["creep"] = columns
    if bias := _bias_tests(spec):
        found["bias"] = bias
    if spec.monitoring.business:
        found["business"] = len(spec.monitoring.business)
    return {family: tests for family, tests in found.items() if tests}


def _bias_tests(spec: ModelSpec) -> int:
    """Attributes and intersections x measures x two bars (the limit and the growth); pairs of groups share each one's level."""
    attributes = len(spec.evaluation.fairness.attributes) + len(spec.evaluation.fairness.intersections)
    measures = {"regression": 2, "binary_classification": 3}.get(spec.objective.task, 3 * len(spec.objective.classes))
    return attributes * measures * 2


def level_of(spec: ModelSpec, family: Family) -> float:
    """Level of one test of `family`, at most 0.5; KeyError when it is switched off.

    The levels of all tests of all families sum to the budget, whatever the dependence between them (weighted Bonferroni:
    Rosenthal and Rubin 1983, Psychological Bulletin 94:540-541).
    """
    tests = family_tests(spec)
    others = len(tests) - 1
    share = (DRIFT_SHARE if others else 1.0) if family == "drift" else (1 - DRIFT_SHARE) / others
    budget = spec.monitoring.drift.false_alarms_per_quarter * share
    every = max(spec.monitoring.window, DAY) if family == "creep" else spec.monitoring.window  # creep is tested once a day
    return false_alarm_level(budget, every, tests[family])
