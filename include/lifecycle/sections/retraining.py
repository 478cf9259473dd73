"""Section retraining: when a signal becomes a training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from include.lifecycle.sections.base import Positive, Section
from include.lifecycle.units import Duration, PositiveDuration

DriftPolicy = Literal["support", "retrain"]


class ConfirmSection(Section):
    """A signal counts when it stood in `windows` of the last `of`, over at least `spanning`."""

    windows: Positive = Field(description="windows that must have shown the signal")
    of: Positive = Field(description="out of so many newest windows")
    spanning: Duration = Field(description="event time between the first and the last of them, at least")


class RetrainingSection(Section):
    """When a signal becomes a training."""

    mode: Literal["off", "suggest", "approve", "auto"] = Field(
        description="what a confirmed signal leads to: nothing, a question, a training that waits for approval, or one at once"
    )
    schedule: str = Field(description="when the clock trains: tier, none, or a cron of five fields (UTC)")
    window: str | None = Field(
        description="daily times between which trainings caused by signals may start, such as 02:00-04:00 (UTC); null: any time"
    )
    covariate: DriftPolicy = Field(
        description="what moved inputs do alone, once confirmed: support a decay that is measured or estimated, or retrain where "
        "the distance is surely (by its lower bound) above monitoring.drift.act_effect"
    )
    population: DriftPolicy = Field(description="the same for columns with the role population")
    equipment: DriftPolicy = Field(description="the same for columns with the role equipment")
    cooldown: Duration = Field(
        description="event time since the last training request of any source before a signal may ask for one"
    )
    confirm: ConfirmSection = Field(description="when a signal counts")
    max_age: PositiveDuration = Field(description="event time; a champion registered longer ago than this asks for a training")
    budget_per_month: Annotated[int, Field(ge=0)] = Field(
        description="trainings in a calendar month, the scheduled ones too; forced ones are not counted"
    )
    freeze: list[str] = Field(
        description="periods (UTC) in which nothing is trained: 2026-12-20..2027-01-03, 2026-12-24 or Fri 18:00-Mon 06:00"
    )
    spent_until_grown: Annotated[float, Field(ge=1, le=100)] = Field(
        description="factor; a cause that was trained for, or that a person declined, counts again when its effect grew by it"
    )
    suggest_after: Positive = Field(
        description="trainings for signals in a row that promoted nothing; from then on a person is asked first"
    )
    most_doublings: Annotated[int, Field(ge=0, le=20)] = Field(
        description="the cooldown doubles with each training that promoted nothing, so often at most"
    )
    approvers: list[str] = Field(
        description="Airflow user names who may answer in modes suggest and approve; empty: anyone who may answer in Airflow"
    )
    answer_within: PositiveDuration = Field(description="wall time; a question without an answer is declined after it")
