"""Business metrics: what the model's own queries measured, with limits where they are set. Not configured is said so."""

from __future__ import annotations

from include.lifecycle.monitoring.kinds import BUSINESS
from include.lifecycle.reporting.page import Block, Charts, Paragraph, Part, Table
from include.lifecycle.reporting.periodic.charts import over_time
from include.lifecycle.reporting.periodic.material import Material, Row
from include.lifecycle.reporting.periodic.words import moment, number


def business(material: Material) -> Part:
    """Newest value of each metric, and its course."""
    windows = material.champion_windows
    names = sorted({name for row in windows for name in _values(row)})
    if not names:
        return Part(
            "Business", [Paragraph("No business metric is configured, or none was measured (docs/monitoring-performance.md).")]
        )
    courses = {name: [(row["window_end"], _values(row)[name]) for row in windows if name in _values(row)] for name in names}
    start = material.period.trend_start
    blocks: list[Block] = [Charts([over_time(name, name, start, [(name, courses[name])]) for name in names[:6]])]
    rows = [(name, number(courses[name][-1][1], 4), moment(courses[name][-1][0]), _judged(windows, name)) for name in names]
    blocks.append(Table(("Metric", "Newest", "Window's end (UTC)", "Verdict"), rows))
    return Part("Business", blocks)


def _values(row: Row) -> dict[str, float]:
    """Metric by name, from the window's measurements, else from its verdicts."""
    measured = row["measurements"].get("business")
    found = {str(name): value for name, value in measured.items()} if isinstance(measured, dict) else {}
    for verdict in row["verdicts"]:
        kind, _, name = verdict["check"].partition(":")
        if kind == BUSINESS and name and name not in found:
            found[name] = verdict["evidence"].get("value", verdict["evidence"].get("effect"))
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


def _judged(windows: list[Row], name: str) -> str:
    for row in windows[::-1]:
        for verdict in row["verdicts"]:
            if verdict["check"] == f"{BUSINESS}:{name}":
                return f"{verdict['outcome']}{f': {told}' if (told := verdict['reason']) else ''}"
    return "no limit is set"
