"""Performance over time on mature labels: the metric, skill lost with its interval, calibration, and how many labels came."""

from __future__ import annotations

import math
from datetime import datetime

from include.lifecycle.monitoring.kinds import DECAY, ESTIMATED_DECAY
from include.lifecycle.monitoring.skill import is_error
from include.lifecycle.reporting.page import Block, Charts, Paragraph, Part, Table
from include.lifecycle.reporting.periodic.charts import Series, over_time
from include.lifecycle.reporting.periodic.figures import label_coverage
from include.lifecycle.reporting.periodic.material import Material, Row
from include.lifecycle.reporting.periodic.words import NONE, moment, number, percent

_MOST = 31


def performance(material: Material) -> Part:
    """Charts since the period before, and the period's windows, newest first."""
    windows = [row for row in material.champion_windows if row["mature_rows"]]
    current = [row for row in windows if row["window_start"] >= material.period.start]
    coverage = label_coverage(material.spec, material.current, material.now)
    blocks: list[Block] = [Paragraph(f"Predictions with a mature label: {percent(coverage)} of those whose labels are due.")]
    if estimated := _estimated(material):
        blocks.append(Paragraph(estimated))
    if not current:
        return Part("Performance", [*blocks, Paragraph("No window of the period has mature labels yet.")])
    blocks.append(Charts(_charts(material, windows)))
    metric = material.spec.objective.metric
    head = ("Window (UTC)", "Version", "Labels", "Coverage", metric, "Hold-out", "Skill lost (interval)", "Verdict")
    blocks.append(Table(head, [_line(material, row) for row in current[::-1][:_MOST]]))
    if len(current) > _MOST:
        blocks.append(Paragraph(f"The newest {_MOST} of {len(current)} windows."))
    return Part("Performance", blocks)


def lost_interval(metric: str, verdict: Row) -> tuple[float, float, float] | None:
    """Skill lost (of an error its growth), with its two-sided bounds; None for a verdict without.

    The verdict holds skill s, reference s0 and the lower bound; the interval is symmetric (monitoring/performance.py).
    """
    evidence = verdict["evidence"]
    held = [evidence.get(name) for name in ("skill", "reference_skill", "lower")]
    if any(not isinstance(value, int | float) or not math.isfinite(value) for value in held) or not held[1]:
        return None
    lost = held[0] / held[1] - 1 if is_error(metric) else 1 - held[0] / held[1]
    return lost, held[2], 2 * lost - held[2]


def _charts(material: Material, windows: list[Row]) -> list[tuple[str, str]]:
    metric, start = material.spec.objective.metric, material.period.trend_start
    measured = [(row["window_end"], row["measurements"].get("performance", {})) for row in windows]
    lines: list[Series] = [(metric, [(at, values[metric]) for at, values in measured if metric in values])]
    if reference := [
        (at, value) for at, value in _evidence(windows, f"{DECAY}:{metric}", "reference_value") if value is not None
    ]:
        lines.append(("hold-out", reference))
    lost = [(row["window_end"], found) for row in windows if (found := _lost(material, row)) is not None]
    bounds = [(name, [(at, found[place]) for at, found in lost]) for place, name in enumerate(("lost", "at least", "at most"))]
    gaps = [(at, values["calibration_gap"]) for at, values in measured if "calibration_gap" in values]
    labels = [(row["window_end"], row["mature_rows"] / row["rows"]) for row in windows if row["rows"]]
    return [
        over_time(f"{metric} on mature labels", metric, start, lines),
        over_time("Skill lost", "fraction", start, bounds),
        over_time("Calibration gap", "mean prediction less outcome", start, [("gap", gaps)]),
        over_time("Label coverage", "fraction of rows", start, [("labels", labels)]),
    ]


def _line(material: Material, row: Row) -> tuple[str, ...]:
    metric = material.spec.objective.metric
    verdict = _verdict(row, f"{DECAY}:{metric}")
    value = row["measurements"].get("performance", {}).get(metric)
    reference = verdict["evidence"].get("reference_value") if verdict else None
    lost = _lost(material, row)
    interval = NONE if lost is None else f"{lost[0]:.1%} ({lost[1]:.1%} to {lost[2]:.1%})"
    judged = "not judged" if verdict is None else verdict["outcome"]
    share = percent(row["mature_rows"] / row["rows"]) if row["rows"] else NONE
    plain = (moment(row["window_start"]), str(row["version"]), f"{row['mature_rows']:,}", share)
    return (*plain, number(value), number(reference), interval, judged)


def _lost(material: Material, row: Row) -> tuple[float, float, float] | None:
    metric = material.spec.objective.metric
    verdict = _verdict(row, f"{DECAY}:{metric}")
    return None if verdict is None else lost_interval(metric, verdict)


def _estimated(material: Material) -> str | None:
    """What the newest estimate without labels said."""
    for row in material.champion_windows[::-1]:
        for verdict in row["verdicts"]:
            if verdict["check"].partition(":")[0] == ESTIMATED_DECAY:
                told = verdict["reason"] or "within its band"
                return f"Estimate without labels, window of {moment(row['window_start'])}: {verdict['outcome']}, {told}."
    return None


def _verdict(row: Row, check: str) -> Row | None:
    return next((verdict for verdict in row["verdicts"] if verdict["check"] == check), None)


def _evidence(windows: list[Row], check: str, name: str) -> list[tuple[datetime, float | None]]:
    found = [(row["window_end"], _verdict(row, check)) for row in windows]
    return [(at, verdict["evidence"].get(name)) for at, verdict in found if verdict is not None]
