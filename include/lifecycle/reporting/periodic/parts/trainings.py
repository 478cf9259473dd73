"""Retraining statistics and history: how often, why, how long, what came of it, and how that compares with the plan."""

from __future__ import annotations

import statistics
from collections import Counter

from include.lifecycle.reporting.page import Block, Paragraph, Part, Table
from include.lifecycle.reporting.periodic.figures import planned_trainings
from include.lifecycle.reporting.periodic.material import Material
from include.lifecycle.reporting.periodic.runs import TrainingRun
from include.lifecycle.reporting.periodic.words import NONE, length, moment, percent

_MOST = 30


def trainings(material: Material) -> Part:
    """The period's numbers, and every run since the chart's beginning, newest first."""
    period = material.period
    runs = [run for run in material.runs if run.at >= period.start]
    before = [run for run in material.runs if run.at < period.start]
    slots = planned_trainings(material.spec, period.start, material.until)
    scheduled = sum(run.source == "schedule" for run in runs)
    requests = [row for row in material.requests if row["requested_at"] >= period.start]
    refused = sum(row["kind"] == "training" and row["act"] == "refuse training" for row in material.entries)
    states = Counter(row["state"] for row in requests)
    told = [
        ("Runs that ended", str(len(runs)), _before(before, material)),
        ("of them by schedule, planned by the schedule", f"{scheduled} of {slots}", ""),
        ("by source", _counted(Counter(run.source for run in runs)), ""),
        ("failed", f"{sum(run.failed for run in runs)}", ""),
        ("brought a promoted version", _share(sum(run.rollout == "promoted" for run in runs), len(runs)), ""),
        ("Wall time, median and longest", _lengths(runs), ""),
        ("Requests, by state", _counted(states), ""),
        ("Runs that were refused at their start", str(refused), ""),
        ("Last training ended", _last(material), ""),
    ]
    blocks: list[Block] = [Table(("Trainings", "Period", "Before"), told)]
    history = [(moment(run.at), run.source, run.reason, length(run.seconds), run.outcome) for run in material.runs[::-1][:_MOST]]
    if history:
        blocks.append(Table(("Ended (UTC)", "Source", "Why", "Wall time", "What came of it"), history))
    else:
        blocks.append(Paragraph(f"No training ended since {moment(period.trend_start)}."))
    return Part("Trainings", blocks)


def _before(runs: list[TrainingRun], material: Material) -> str:
    """How many a period of this length had before."""
    periods, begin = 0, material.period
    while begin.start > material.period.trend_start:
        begin, periods = begin.before, periods + 1
    return f"{len(runs) / periods:.1f} per period before" if periods else ""


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def _share(part: int, whole: int) -> str:
    return f"{part} ({percent(part / whole, 0)})" if whole else "0"


def _lengths(runs: list[TrainingRun]) -> str:
    known = [run.seconds for run in runs if run.seconds is not None]
    return f"{length(statistics.median(known))}, {length(max(known))}" if known else NONE


def _last(material: Material) -> str:
    if not material.runs:
        return f"before {moment(material.period.trend_start)}, or never"
    at = material.runs[-1].at
    return f"{moment(at)}, {length(material.until - at)} before the period's end"
