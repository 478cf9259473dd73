"""Sections retraining and alerts: when a signal becomes a training, and who is told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from include.lifecycle.sections.base import Positive, Section
from include.lifecycle.units import Duration


class ConfirmSection(Section):
    """A signal counts when it stood in `windows` of the last `of`, over at least `spanning`."""

    windows: Positive = Field(description="windows that must have shown the signal")
    of: Positive = Field(description="out of so many newest windows")
    spanning: Duration = Field(description="event time between the first and the last of them, at least")


class RetrainingSection(Section):
    """When a signal becomes a training."""

    mode: Literal["off", "suggest", "approve", "auto"] = Field(description="what a confirmed signal leads to")
    cooldown: Duration = Field(
        description="event time since the last training request of any source before a signal may ask for one"
    )
    confirm: ConfirmSection = Field(description="when a signal counts")
    max_age: Duration = Field(description="a champion older than this asks for a training (nothing looks at its age yet)")
    budget_per_month: Annotated[int, Field(ge=0)] = Field(
        description="trainings in a calendar month, the scheduled ones too; forced ones are not counted"
    )
    freeze: list[str] = Field(description="periods in which nothing is trained")


class AlertsSection(Section):
    """Who is told."""

    owner: str | None = Field(description="where the owner is told, as conn:<Airflow connection>")
