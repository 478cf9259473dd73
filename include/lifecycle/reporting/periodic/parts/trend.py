"""The period beside the ones before: the same figures of each, oldest first. Of monthly and quarterly reports."""

from __future__ import annotations

from collections.abc import Sequence

from include.lifecycle.reporting.page import Part, Table
from include.lifecycle.reporting.periodic.figures import Figures
from include.lifecycle.reporting.periodic.words import number, percent


def trend(history: Sequence[Figures]) -> Part:
    """`history`: figures of the periods, oldest first, this one last."""
    rows = [
        ("Predictions", *(f"{one.predictions:,}" for one in history)),
        ("Mean health", *(number(one.health_mean, 2) for one in history)),
        ("Lowest health", *(number(one.health_lowest, 2) for one in history)),
        ("Label coverage", *(percent(one.label_coverage) for one in history)),
        ("Signals opened", *(str(one.signals_opened) for one in history)),
        ("Alerts", *(str(sum(one.alerts.values())) for one in history)),
        ("Incidents", *(str(one.incidents) for one in history)),
        ("Trainings (failed)", *(f"{one.trainings} ({one.trainings_failed})" for one in history)),
        ("Promoted", *(str(one.trainings_promoted) for one in history)),
        ("Rolled back", *(str(one.rollouts_back) for one in history)),
        ("Availability", *(percent(one.availability, 3) for one in history)),
        ("Pipeline runs without a failed task", *(percent(one.pipeline_success) for one in history)),
        ("Cost", *(f"{one.cost:.2f} {one.currency}" for one in history)),
    ]
    return Part("Trend", [Table(("", *(one.period for one in history)), rows)])
