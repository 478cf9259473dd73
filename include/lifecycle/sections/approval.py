"""Section approval: who must say yes before a version gets traffic, how many of them, and for how long it is waited."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from include.lifecycle.sections.base import Positive, Section
from include.lifecycle.units import PositiveDuration

Level = Literal["none", "team", "lead", "committee"]
"""Who approves, the mildest first: nobody, one person of the team, one lead, a quorum of the committee."""

Person = Annotated[str, StringConstraints(min_length=1, pattern=r"^\S+$")]


class RiskLevels(Section):
    """Who approves by the model's risk."""

    low: Level = Field(description="risk low")
    medium: Level = Field(description="risk medium")
    high: Level = Field(description="risk high")


class ChangeLevels(Section):
    """Who approves by how much the version differs from the champion."""

    small: Level = Field(description="same features, training rules and algorithm: only data and hyperparameters are new")
    medium: Level = Field(description="another algorithm, or other rules of training")
    large: Level = Field(description="other features, target, objective or way of training")


class ApprovalSection(Section):
    """Who must say yes before a version gets traffic. The stricter of risk and change counts."""

    by_risk: RiskLevels = Field(description="who approves by the model's risk")
    by_change: ChangeLevels = Field(description="who approves by the size of the change; without a champion there is none")
    change_counts_from: Literal["low", "medium", "high"] = Field(
        description="the size of the change counts for models of this risk and above; below it the risk alone decides"
    )
    team: list[Person] = Field(description="Airflow user names of the team; empty: anyone who may answer in Airflow")
    lead: list[Person] = Field(description="Airflow user names of the leads; empty: anyone who may answer in Airflow")
    committee: list[Person] = Field(
        description="Airflow user names of the committee, a seat each; empty: `quorum` seats for anyone, each person once"
    )
    quorum: Positive = Field(description="members of the committee that must approve")
    expires: PositiveDuration = Field(description="wall time that answers are waited for; then the rollout is refused")
    look: PositiveDuration = Field(
        description="wall time after which an open question looks whether it was settled elsewhere, and goes away if so"
    )
