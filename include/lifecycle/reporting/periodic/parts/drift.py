"""Drift per column over time: each window's distance against its own threshold, as a map and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from include.lifecycle.monitoring.kinds import DATA_FAULT, KINDS
from include.lifecycle.reporting.page import Block, Charts, Paragraph, Part, Table
from include.lifecycle.reporting.periodic.charts import ratio_map
from include.lifecycle.reporting.periodic.material import Material, Row
from include.lifecycle.reporting.periodic.words import number

# Faults are no distances; they stand among the checks.
_KINDS = {kind.name for kind in KINDS.values() if kind.of_a_column or kind.name.endswith("_drift")} - {DATA_FAULT}
_MOST = 40


@dataclass(frozen=True)
class Point:
    """One conclusive verdict on a distance."""

    at: datetime
    effect: float
    threshold: float
    failed: bool

    @property
    def ratio(self) -> float:
        """The distance as a multiple of its threshold."""
        return self.effect / self.threshold


def drift(material: Material) -> Part:
    """Columns whose distance came nearest to their threshold first."""
    found = _by_cause(material.champion_windows)
    current = _by_cause([row for row in material.champion_windows if row["window_start"] >= material.period.start])
    if not current:
        return Part("Drift", [Paragraph("No drift was measured in the period.")])
    worst = sorted(current, key=lambda cause: (-max(row.ratio for row in current[cause]), cause))
    shown = worst[:_MOST]
    cells = {cause: {row.at: row.ratio for row in found[cause]} for cause in shown}
    times = [row["window_start"] for row in material.champion_windows]
    told = (
        "Each cell is a window: its distance as a multiple of the threshold that it is judged by. Green is within it, yellow and "
        "red above, grey was not measured or had too few rows."
    )
    blocks: list[Block] = [Paragraph(told), Charts([ratio_map("Distance / threshold", cells, times)])]
    head = ("Cause", "Windows", "Failed", "Newest", "Largest", "Threshold", "Largest / threshold")
    blocks.append(Table(head, [_line(cause, current[cause]) for cause in shown]))
    if len(worst) > _MOST:
        blocks.append(Paragraph(f"{len(worst) - _MOST} further causes stayed further from their thresholds."))
    return Part("Drift", blocks)


def _by_cause(windows: Sequence[Row]) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = {}
    for window in windows:
        for verdict in window["verdicts"]:
            kind, evidence = verdict["check"].partition(":")[0], verdict["evidence"]
            if kind not in _KINDS or verdict["outcome"] == "inconclusive":
                continue
            if isinstance(evidence.get("effect"), int | float) and (evidence.get("threshold") or 0) > 0:
                failed = verdict["outcome"] == "fail"
                point = Point(window["window_start"], evidence["effect"], evidence["threshold"], failed)
                found.setdefault(verdict["check"].removeprefix("covariate:"), []).append(point)
    return found


def _line(cause: str, rows: list[Point]) -> tuple[str, ...]:
    largest = max(rows, key=lambda row: row.ratio)
    failed = sum(row.failed for row in rows)
    values = (rows[-1].effect, largest.effect, rows[-1].threshold, largest.ratio)
    return (cause, str(len(rows)), str(failed), *(number(value) for value in values))
