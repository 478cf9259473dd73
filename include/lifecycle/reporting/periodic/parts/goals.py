"""Figures against their goals: availability, pipeline success, retraining as planned, responses in time, incidents, trend."""

from __future__ import annotations

from include.lifecycle.reporting.page import Block, Bullets, Paragraph, Part, Table
from include.lifecycle.reporting.periodic.figures import Figures, outages
from include.lifecycle.reporting.periodic.material import Material
from include.lifecycle.reporting.periodic.words import NONE, length, moment, percent

_NOTE = (
    "Availability is event time with a healthy server, by the watchdog; a pipeline run succeeds when no task of it failed, also "
    "when the new version lost. Coverage of tests and documentation are shown by `make test` and the continuous integration."
)


def goals(material: Material, figures: Figures) -> Part:
    """One row per goal, met or not, and each outage."""
    wanted = material.spec.reports.goals
    rows = [
        _against("Availability", figures.availability, wanted.availability, 3),
        _against("Pipeline runs without a failed task", figures.pipeline_success, wanted.pipeline_success, 1),
        _planned(material, figures),
        _against("Alerts answered in time (alerts.respond_within)", figures.responses_in_time, 1.0, 0),
        ("Incidents", str(figures.incidents), "fewer than before", ""),
    ]
    blocks: list[Block] = [Paragraph(_NOTE), Table(("Goal", "Figure", "Wanted", "Met"), rows)]
    if found := outages(material):
        blocks.append(Bullets([f"without a healthy server from {moment(at)}, for {length(lasted)}" for at, lasted in found]))
    return Part("Goals", blocks)


def _against(name: str, value: float | None, goal: float, digits: int) -> tuple[str, ...]:
    if value is None:
        return (name, NONE, percent(goal, digits), "nothing to measure")
    return (name, percent(value, digits), percent(goal, digits), "yes" if value >= goal else "no")


def _planned(material: Material, figures: Figures) -> tuple[str, ...]:
    runs = [run for run in material.runs if run.at >= material.period.start]
    scheduled = sum(run.source == "schedule" for run in runs)
    met = "yes" if scheduled >= figures.trainings_planned else "no"
    return ("Scheduled trainings", str(scheduled), f"{figures.trainings_planned} by retraining.schedule", met)
