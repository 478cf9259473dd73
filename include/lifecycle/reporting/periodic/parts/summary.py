"""The report's head: the numbers that a reader looks for first, and what stands open right now."""

from __future__ import annotations

from include.lifecycle.reporting.page import Block, Bullets, Mood, Paragraph, Part, Tile, Tiles
from include.lifecycle.reporting.periodic.figures import Figures
from include.lifecycle.reporting.periodic.material import Material
from include.lifecycle.reporting.periodic.words import goal_mood, health_mood, health_words, number, percent


def summary(material: Material, figures: Figures) -> Part:
    """Tiles, and sentences on what waits."""
    blocks: list[Block] = [Tiles(_tiles(material, figures))]
    if waiting := _waiting(material):
        blocks += [Paragraph("Open now:"), Bullets(waiting)]
    return Part("Summary", blocks)


def _tiles(material: Material, figures: Figures) -> list[Tile]:
    goals = material.spec.reports.goals
    serious = figures.alerts.get("P0", 0) + figures.alerts.get("P1", 0)
    mood: Mood = "bad" if serious else "warning" if figures.alerts else "good"
    ladder = ", ".join(f"{severity} {count}" for severity, count in figures.alerts.items()) or "none"
    return [
        Tile(
            "Health",
            number(figures.health_newest, 2),
            f"mean {health_words(figures.health_mean)}, lowest {number(figures.health_lowest, 2)}",
            health_mood(figures.health_newest),
        ),
        Tile("Predictions", f"{figures.predictions:,}", f"{figures.windows} windows measured"),
        Tile("Label coverage", percent(figures.label_coverage), "of predictions whose labels are due"),
        Tile("Signals", str(figures.signals_opened), f"opened; {figures.signals_open} open now"),
        Tile("Alerts", str(sum(figures.alerts.values())), ladder, mood),
        Tile("Trainings", str(figures.trainings), f"{figures.trainings_promoted} promoted, {figures.trainings_failed} failed"),
        Tile("Availability", percent(figures.availability, 3), f"goal {goals.availability:.2%}", _available(material, figures)),
        Tile("Cost", f"{figures.cost:.2f} {figures.currency}", "estimate: hours x price"),
    ]


def _available(material: Material, figures: Figures) -> Mood:
    return goal_mood(figures.availability, material.spec.reports.goals.availability)


def _waiting(material: Material) -> list[str]:
    found = [f"training and promotion are frozen: {material.frozen}"] if material.frozen is not None else []
    found += [f"signal {row['cause']} ({row['severity']}): {_why(row)}" for row in material.signals if row["state"] == "open"]
    found += [
        f"rollout {row['id']} of version {row['version']} is {row['state']}"
        for row in material.rollouts
        if row["finished_at"] is None
    ]
    found += [f"question {row['id']}: {row['reason']}" for row in material.questions if row["state"] == "open"]
    return found


def _why(row: object) -> str:
    evidence = row["evidence"]  # type: ignore[index]
    return str(evidence.get("reason", "see the ledger"))
