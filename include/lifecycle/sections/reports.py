"""Section reports: which daily to quarterly reports are written about the model, its goals, and what its hours cost."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from include.lifecycle.sections.base import NotNegative, Positive, Section, Share

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{1,12}$")]


class GoalsSection(Section):
    """What the reports hold figures against; nothing else reads it."""

    availability: Share = Field(description="fraction of event time in which the model has a healthy server")
    pipeline_success: Share = Field(description="fraction of training runs that end without a failed task")


class PricesSection(Section):
    """Prices of wall time, for the reports' estimate of cost."""

    currency: Currency = Field(description="name of the currency, such as USD")
    training_hour: NotNegative = Field(description="price of one hour of one training run")
    serving_hour: NotNegative = Field(description="price of one hour of one model server (server.replicas per version)")
    monthly_budget: NotNegative | None = Field(description="cost per 30 days that the reports hold the estimate against")


class ReportsSection(Section):
    """The reports about the model. Its numbers are in the fleet's report in any case."""

    kinds: list[Literal["daily", "weekly", "monthly", "quarterly"]] = Field(
        description="which reports the platform writes by itself; any can be had by `cli report`"
    )
    keep: Positive = Field(description="newest reports of each kind that are kept")
    goals: GoalsSection = Field(description="what the figures are held against")
    prices: PricesSection = Field(description="what an hour costs")
