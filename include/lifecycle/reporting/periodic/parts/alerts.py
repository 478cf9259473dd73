"""Alerts of the period by severity with response times against their goals, incidents, and what still stands."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from datetime import timedelta

from include.lifecycle.reporting.page import Block, Paragraph, Part, Table
from include.lifecycle.reporting.periodic.figures import response_times
from include.lifecycle.reporting.periodic.material import Material, Row
from include.lifecycle.reporting.periodic.words import NONE, length, moment, percent

_MOST = 40


def alerts(material: Material) -> Part:
    """Response: from the first sight to the first answer or the end of the cause; an unanswered alert past its time is late."""
    if not material.alerts and not material.incidents:
        return Part("Alerts", [Paragraph("No alert was raised, and none stands.")])
    answered = response_times(material)
    severities = sorted({row["severity"] for row in material.alerts})
    head = ("Severity", "New", "Standing", "Answered within", "In time", "Median", "Longest")
    blocks: list[Block] = [Table(head, [_severity(material, severity, answered) for severity in severities])]
    told = [
        (row["severity"], row["title"], row["reason"], moment(row["first_seen"]), str(row["count"]), row["state"], _incident(row))
        for row in sorted(material.alerts, key=lambda row: (row["severity"], -row["id"]))[:_MOST]
    ]
    blocks.append(Table(("Severity", "Alert", "Why", "First seen (UTC)", "Times", "State", "Incident"), told))
    if material.incidents:
        lines = [
            (
                str(row["id"]),
                row["severity"],
                row["title"],
                moment(row["opened_at"]),
                _lasted(row),
                row["state"],
                row["timeline"] or "",
            )
            for row in material.incidents
        ]
        blocks.append(Table(("Incident", "Severity", "What", "Opened (UTC)", "Lasted", "State", "Page"), lines))
    return Part("Alerts", blocks)


def _severity(material: Material, severity: str, answered: Sequence[tuple[Row, timedelta, bool]]) -> tuple[str, ...]:
    mine = [(took, in_time) for row, took, in_time in answered if row["severity"] == severity]
    rows = [row for row in material.alerts if row["severity"] == severity]
    goal = length(getattr(material.spec.alerts.respond_within, severity))
    new = sum(row["first_seen"] >= material.period.start for row in rows)
    standing = sum(row["state"] != "resolved" for row in rows)
    if not mine:
        return (severity, str(new), str(standing), goal, NONE, NONE, NONE)
    seconds = [took.total_seconds() for took, _ in mine]
    share = percent(statistics.fmean(in_time for _, in_time in mine), 0)
    return (severity, str(new), str(standing), goal, share, length(statistics.median(seconds)), length(max(seconds)))


def _incident(row: Row) -> str:
    return "" if row["incident_id"] is None else str(row["incident_id"])


def _lasted(row: Row) -> str:
    return "open" if row["closed_at"] is None else length(row["closed_at"] - row["opened_at"])
