"""Which parts a model's report of each kind has, in order: the day's state, the week's performance, the longer ones' trends."""

from __future__ import annotations

from collections.abc import Sequence

from include.lifecycle.reporting.page import Part
from include.lifecycle.reporting.periodic.figures import Figures
from include.lifecycle.reporting.periodic.material import Material
from include.lifecycle.reporting.periodic.parts.alerts import alerts
from include.lifecycle.reporting.periodic.parts.business import business
from include.lifecycle.reporting.periodic.parts.checks import checks
from include.lifecycle.reporting.periodic.parts.cost import cost
from include.lifecycle.reporting.periodic.parts.decisions import decisions
from include.lifecycle.reporting.periodic.parts.drift import drift
from include.lifecycle.reporting.periodic.parts.goals import goals
from include.lifecycle.reporting.periodic.parts.health import health
from include.lifecycle.reporting.periodic.parts.performance import performance
from include.lifecycle.reporting.periodic.parts.rollouts import rollouts
from include.lifecycle.reporting.periodic.parts.service import service
from include.lifecycle.reporting.periodic.parts.summary import summary
from include.lifecycle.reporting.periodic.parts.trainings import trainings
from include.lifecycle.reporting.periodic.parts.trend import trend
from include.lifecycle.reporting.periodic.parts.versions import versions
from include.lifecycle.reporting.periodic.period import Kind

TITLES: dict[Kind, str] = {
    "daily": "Daily health",
    "weekly": "Weekly performance",
    "monthly": "Monthly trend",
    "quarterly": "Quarterly review",
}
PERIODS_BEFORE: dict[Kind, int] = {"daily": 6, "weekly": 3, "monthly": 5, "quarterly": 3}
"""Earlier periods that the trend shows."""


def parts_of(material: Material, figures: Figures, history: Sequence[Figures]) -> list[Part]:
    """The report's parts; `history`: figures of earlier periods, oldest first."""
    head, told = summary(material, figures), trend([*history, figures])
    if material.period.kind == "daily":
        state = [health(material), checks(material), service(material), drift(material), performance(material)]
        return [head, *state, alerts(material), decisions(material), rollouts(material), goals(material, figures), told]
    measured = [performance(material), versions(material), health(material), drift(material), checks(material), service(material)]
    acted = [decisions(material), trainings(material), rollouts(material), alerts(material)]
    worth = [business(material), cost(material, figures), goals(material, figures)]
    if material.period.kind == "weekly":
        return [head, *measured, *acted, *worth, told]
    return [head, told, *worth, *measured, *acted]
