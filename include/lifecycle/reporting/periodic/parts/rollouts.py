"""Rollouts of the period: which version by which strategy, how long, how they ended and why."""

from __future__ import annotations

from include.lifecycle.reporting.page import Paragraph, Part, Table
from include.lifecycle.reporting.periodic.material import Material, Row
from include.lifecycle.reporting.periodic.words import length, moment


def rollouts(material: Material) -> Part:
    """Newest first."""
    champion = "no version" if material.champion is None else f"version {material.champion}"
    told = Paragraph(f"Champion now: {champion}.")
    if not material.rollouts:
        return Part("Rollouts", [told, Paragraph("No rollout was open in the period.")])
    head = ("Began (UTC)", "Version", "Against", "Strategy", "Took", "State", "Why")
    return Part("Rollouts", [told, Table(head, [_line(row) for row in material.rollouts[::-1]])])


def _line(row: Row) -> tuple[str, ...]:
    took = "open" if row["finished_at"] is None else length(row["finished_at"] - row["created_at"])
    against = "-" if row["champion"] is None else str(row["champion"])
    state = row["state"].replace("_", " ")
    return (moment(row["created_at"]), str(row["version"]), against, row["strategy"], took, state, row["reason"])
