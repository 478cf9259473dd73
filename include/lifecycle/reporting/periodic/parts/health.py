"""Health over time with its parts. It is shown and never a trigger; the formula stands in monitoring/health.py."""

from __future__ import annotations

import statistics

from include.lifecycle.monitoring.health import WEIGHTS, band
from include.lifecycle.reporting.page import Block, Charts, Paragraph, Part, Table
from include.lifecycle.reporting.periodic.charts import over_time
from include.lifecycle.reporting.periodic.material import Material, Row
from include.lifecycle.reporting.periodic.words import health_words, number, percent

_FORMULA = (
    "The mean of the parts that are known, weighted as the table says; above 0.8 good, from 0.6 warning, below critical. It sums "
    "up for people; no training, alert or rollback is triggered by it."
)


def health(material: Material) -> Part:
    """Newest, mean and lowest score, each part's mean, and the bands of the period's windows."""
    known = [row for row in material.champion_windows if row["health"] is not None]
    current = [row for row in known if row["window_start"] >= material.period.start]
    blocks: list[Block] = [Paragraph(_FORMULA)]
    if not current:
        return Part("Health", [*blocks, Paragraph("No window of the period has a health score.")])
    scores = [row["health"] for row in current]
    bands = [band(score) for score in scores]
    told = [
        f"{name} {bands.count(name)} ({percent(bands.count(name) / len(bands), 0)})" for name in ("good", "warning", "critical")
    ]
    blocks.append(Paragraph(f"{len(scores)} windows: {', '.join(told)}. Newest {health_words(scores[-1])}."))
    series = [("health", [(row["window_end"], row["health"]) for row in known])]
    blocks.append(Charts([over_time("Health", "score", material.period.trend_start, series), _parts_chart(material, known)]))
    blocks.append(Table(("Part", "Weight", "Newest", "Mean", "Lowest"), [_part(name, current) for name in WEIGHTS]))
    return Part("Health", blocks)


def _parts_chart(material: Material, known: list[Row]) -> tuple[str, str]:
    lines = []
    for name in WEIGHTS:
        points = [(row["window_end"], row["health_parts"][name]) for row in known if name in row["health_parts"]]
        if points:
            lines.append((name, points))
    return over_time("Its parts", "part", material.period.trend_start, lines)


def _part(name: str, windows: list[Row]) -> tuple[str, ...]:
    values = [row["health_parts"][name] for row in windows if name in row["health_parts"]]
    if not values:
        return (name, f"{WEIGHTS[name]:.2f}", "not known", "", "")
    newest = windows[-1]["health_parts"].get(name)
    return (name, f"{WEIGHTS[name]:.2f}", number(newest), number(statistics.fmean(values)), number(min(values)))
