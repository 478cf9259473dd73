"""What the period cost, estimated: hours of training runs and of model servers, by the model's prices, against its budget."""

from __future__ import annotations

from include.lifecycle.reporting.page import Block, Paragraph, Part, Table
from include.lifecycle.reporting.periodic.figures import Figures
from include.lifecycle.reporting.periodic.material import Material
from include.lifecycle.reporting.periodic.words import percent

_NOTE = (
    "Wall time times `reports.prices`. A version counts as served in each window in which it answered, by `server.replicas` "
    "servers; the database, Airflow and MLflow are shared by all models and not in here."
)


def cost(material: Material, figures: Figures) -> Part:
    """Training, serving, total, per 1,000 predictions, and the share of the budget."""
    prices, unit = material.spec.reports.prices, figures.currency
    training, serving = figures.training_hours * prices.training_hour, figures.serving_hours * prices.serving_hour
    rows = [
        ("Training", f"{figures.training_hours:.2f} h", f"{prices.training_hour:g} {unit}", f"{training:.2f} {unit}"),
        ("Serving", f"{figures.serving_hours:.2f} h", f"{prices.serving_hour:g} {unit}", f"{serving:.2f} {unit}"),
        ("Together", "", "", f"{figures.cost:.2f} {unit}"),
    ]
    if figures.predictions:
        rows.append(("Per 1,000 predictions", "", "", f"{figures.cost / figures.predictions * 1000:.4f} {unit}"))
    blocks: list[Block] = [Paragraph(_NOTE), Table(("What", "Wall time", "Price per hour", "Cost"), rows)]
    if prices.monthly_budget is not None:
        blocks.append(Paragraph(_budget(material, figures, prices.monthly_budget)))
    return Part("Cost", blocks)


def _budget(material: Material, figures: Figures, budget: float) -> str:
    days = (material.until - material.period.start).total_seconds() / 86400
    per_month = figures.cost / days * 30 if days > 0 else 0.0
    told = f"At this rate {per_month:.2f} {figures.currency} per 30 days; budget {budget:.2f}"
    if not budget:
        return f"{told}."
    return f"{told}: {percent(per_month / budget, 0)} of it{', over the budget' if per_month > budget else ''}."
