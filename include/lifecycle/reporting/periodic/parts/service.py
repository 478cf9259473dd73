"""Speed and use over time: latency, rows per second, and what the servers used, of the versions that answered most."""

from __future__ import annotations

import statistics

from include.lifecycle.reporting.page import Block, Charts, Paragraph, Part, Table
from include.lifecycle.reporting.periodic.charts import over_time
from include.lifecycle.reporting.periodic.material import Material, Row
from include.lifecycle.reporting.periodic.words import number

_PLAIN = {"latency_ms_p50": "latency, median (ms)", "latency_ms_p95": "latency, p95 (ms)", "latency_ms_p99": "latency, p99 (ms)"}
_PLAIN |= {"rows_per_second": "rows per second"}
_MOST_CHARTS = 6


def service(material: Material) -> Part:
    """Newest, median and highest value of each number, and its course."""
    windows = material.champion_windows
    names = [name for name in _PLAIN if any(name in _numbers(row) for row in windows)]
    names += sorted({name for row in windows for name in _numbers(row)} - set(names))
    current = [row for row in windows if row["window_start"] >= material.period.start]
    if not names or not current:
        return Part("Speed and use", [Paragraph("Nothing was answered in the period.")])
    charts = [_chart(material, windows, name) for name in names[:_MOST_CHARTS] if name != "latency_ms_p50"]
    rows = [line for name in names if (line := _line(name, current))]
    blocks: list[Block] = [Charts(charts), Table(("Per window", "Newest", "Median", "Highest"), rows)]
    return Part("Speed and use", blocks)


def _numbers(row: Row) -> dict[str, float]:
    """By name, from the window's measurements: latencies, rate, and resources where they are measured."""
    measured = row["measurements"]
    resources = measured.get("resources")
    found = {name: measured[name] for name in _PLAIN if name in measured}
    found |= resources if isinstance(resources, dict) else {}
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


def _chart(material: Material, windows: list[Row], name: str) -> tuple[str, str]:
    points = [(row["window_end"], _numbers(row)[name]) for row in windows if name in _numbers(row)]
    return over_time(_PLAIN.get(name, name), "", material.period.trend_start, [(name, points)])


def _line(name: str, windows: list[Row]) -> tuple[str, ...] | None:
    values = [_numbers(row)[name] for row in windows if name in _numbers(row)]
    if not values:
        return None
    return (_PLAIN.get(name, name), number(values[-1]), number(statistics.median(values)), number(max(values)))
