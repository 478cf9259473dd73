"""The report of all models: totals, what needs a look first, and one row per model."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from include.lifecycle.evaluation.plots import bar_chart
from include.lifecycle.reporting.page import Block, Charts, Mood, Paragraph, Part, Table, Tile, Tiles
from include.lifecycle.reporting.periodic.figures import Figures
from include.lifecycle.reporting.periodic.material import Row
from include.lifecycle.reporting.periodic.words import NONE, health_words, moment, number, percent

FLEET = "_fleet"
"""The folder of the fleet's reports, beside the models': no model's name begins with an underscore."""
_MOST = 20


def fleet_parts(figures: Sequence[Figures], platform: Sequence[Row] = ()) -> list[Part]:
    """Parts of the page; `figures`: one period of each model; `platform`: alerts that are no model's."""
    ranked = sorted(figures, key=_urgency)
    return [
        Part("Summary", [Tiles(_tiles(figures))]),
        Part("What needs a look", _first(ranked)),
        Part("Models", [_table(ranked)]),
        Part("Alerts of the platform", [_platform(platform)]),
        Part("Cost", [_costs(figures)]),
    ]


def _urgency(one: Figures) -> tuple[float, ...]:
    """Most urgent first: P0, P1, standing alerts, low health."""
    serious = (-one.alerts.get("P0", 0), -one.alerts.get("P1", 0), -one.alerts_standing)
    return (*serious, one.health_newest if one.health_newest is not None else math.inf)


def _tiles(figures: Sequence[Figures]) -> list[Tile]:
    bands = Counter(health_words(one.health_newest).partition(" ")[2] or "not known" for one in figures)
    alerts = sum((Counter(one.alerts) for one in figures), Counter[str]())
    runs, failed = sum(one.trainings for one in figures), sum(one.trainings_failed for one in figures)
    known = [one.availability for one in figures if one.availability is not None]
    return [
        Tile("Models", str(len(figures)), f"{sum(one.champion is not None for one in figures)} with a champion"),
        Tile("Health", str(bands["critical"]), f"critical; {bands['warning']} warning, {bands['good']} good", _mood(bands)),
        Tile("Predictions", f"{sum(one.predictions for one in figures):,}", f"{sum(one.windows for one in figures)} windows"),
        Tile("Alerts", str(alerts.total()), ", ".join(f"{name} {count}" for name, count in sorted(alerts.items())) or "none"),
        Tile("Trainings", str(runs), f"{failed} failed, {sum(one.trainings_promoted for one in figures)} promoted"),
        Tile(
            "Rollouts",
            str(sum(one.rollouts_ended for one in figures)),
            f"{sum(one.rollouts_back for one in figures)} rolled back",
        ),
        Tile("Availability", percent(sum(known) / len(known), 3) if known else NONE, "mean of the models that serve"),
    ]


def _mood(bands: Counter[str]) -> Mood:
    return "bad" if bands["critical"] else "warning" if bands["warning"] else "good"


def _first(ranked: Sequence[Figures]) -> list[Block]:
    found = [one for one in ranked if one.alerts_standing or one.frozen or "critical" in health_words(one.health_newest)]
    if not found:
        return [Paragraph("No model has a standing alert, a freeze or critical health.")]
    bars = [(one.model, one.health_newest, None, None) for one in found if one.health_newest is not None]
    told = [
        (one.model, health_words(one.health_newest), str(one.alerts_standing), str(one.signals_open), "yes" if one.frozen else "")
        for one in found[:_MOST]
    ]
    blocks: list[Block] = [Table(("Model", "Health", "Standing alerts", "Open signals", "Frozen"), told)]
    if bars:
        blocks.append(Charts([("Health", bar_chart("Health", bars))]))
    return blocks


def _table(ranked: Sequence[Figures]) -> Table:
    head = ("Model", "Champion", "Health", "Lowest", "Predictions", "Labels", "Signals", "Alerts", "Trainings (failed)")
    rows = [
        (
            one.model,
            NONE if one.champion is None else str(one.champion),
            health_words(one.health_newest),
            number(one.health_lowest, 2),
            f"{one.predictions:,}",
            percent(one.label_coverage),
            str(one.signals_opened),
            ", ".join(f"{name} {count}" for name, count in one.alerts.items()) or "0",
            f"{one.trainings} ({one.trainings_failed})",
            f"{one.rollouts_promoted} / {one.rollouts_back}",
            percent(one.availability, 3),
            f"{one.cost:.2f} {one.currency}",
        )
        for one in ranked
    ]
    return Table((*head, "Promoted / back", "Availability", "Cost"), rows)


def _platform(alerts: Sequence[Row]) -> Block:
    if not alerts:
        return Paragraph("No alert about the platform itself was raised, and none stands.")
    head = ("Severity", "Alert", "Why", "First seen (UTC)", "Times", "State")
    rows = sorted(alerts, key=lambda row: (row["severity"], -row["id"]))[:_MOST]
    lines = [
        (row["severity"], row["title"], row["reason"], moment(row["first_seen"]), str(row["count"]), row["state"]) for row in rows
    ]
    return Table(head, lines)


def _costs(figures: Sequence[Figures]) -> Table:
    """Sums by currency: prices are each model's own."""
    found: dict[str, list[Figures]] = {}
    for one in figures:
        found.setdefault(one.currency, []).append(one)
    rows = [
        (
            currency,
            str(len(models)),
            f"{sum(one.training_hours for one in models):.1f}",
            f"{sum(one.serving_hours for one in models):.1f}",
            f"{sum(one.cost for one in models):.2f}",
        )
        for currency, models in sorted(found.items())
    ]
    return Table(("Currency", "Models", "Training hours", "Serving hours", "Cost"), rows)
