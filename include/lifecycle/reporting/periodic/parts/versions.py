"""Versions that answered in the period, side by side: rows, health, latency, and the metric on mature labels."""

from __future__ import annotations

import statistics

from include.lifecycle.reporting.page import Paragraph, Part, Table
from include.lifecycle.reporting.periodic.material import Material, Row
from include.lifecycle.reporting.periodic.words import NONE, number, percent


def versions(material: Material) -> Part:
    """One row per version, the newest first."""
    found: dict[int, list[Row]] = {}
    for row in material.current:
        found.setdefault(row["version"], []).append(row)
    if not found:
        return Part("Versions", [Paragraph("No version answered in the period.")])
    head = ("Version", "Windows", "Predictions", "Labels", "Mean health", material.spec.objective.metric, "Latency p95 (ms)")
    return Part("Versions", [Table(head, [_line(material, number_, found[number_]) for number_ in sorted(found, reverse=True)])])


def _line(material: Material, version: int, rows: list[Row]) -> tuple[str, ...]:
    total, mature = sum(row["rows"] for row in rows), sum(row["mature_rows"] for row in rows)
    name = f"{version} (champion)" if version == material.champion else str(version)
    healths = [row["health"] for row in rows if row["health"] is not None]
    metric = _weighted(rows, material.spec.objective.metric)
    latencies = [row["measurements"]["latency_ms_p95"] for row in rows if row["measurements"].get("latency_ms_p95") is not None]
    labels = f"{mature:,} ({percent(mature / total)})" if total else NONE
    health = number(statistics.fmean(healths), 2) if healths else NONE
    latency = number(statistics.median(latencies), 2) if latencies else NONE
    return (name, str(len(rows)), f"{total:,}", labels, health, number(metric), latency)


def _weighted(rows: list[Row], metric: str) -> float | None:
    """The windows' metric, weighted by their mature labels."""
    pairs = [(row["measurements"].get("performance", {}).get(metric), row["mature_rows"]) for row in rows]
    known = [(value, weight) for value, weight in pairs if value is not None and weight]
    return sum(value * weight for value, weight in known) / sum(weight for _, weight in known) if known else None
