"""Section evaluation: what a challenger must show before it may be rolled out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from include.lifecycle.sections.base import Column, NotNegative, Positive, Section, Share


class FairnessSection(Section):
    """Groups between which rates must not differ by more than `max_gap` (interval above the limit fails)."""

    attributes: list[Column] = Field(description="columns whose groups are compared")
    max_gap: Share = Field(description="fraction; a gap whose whole interval lies above it fails")


class EvaluationSection(Section):
    """What a challenger must show."""

    promote_if: Literal["not_worse", "better"] = Field(description="what a scheduled challenger must show against the champion")
    margin: NotNegative = Field(description="in units of the metric; so much worse still counts as not worse")
    resample_by: Literal["day", "entity"] = Field(description="blocks of the bootstrap")
    resamples: Annotated[int, Field(ge=100)] = Field(description="bootstrap resamples")
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = Field(description="confidence of all intervals")
    minimum_rows: Positive = Field(description="rows; fewer common rows are inconclusive")
    fairness: FairnessSection = Field(description="groups that must not fare differently")
    slices: list[str] = Field(description="parts of the data that are judged on their own")
    business: str | None = Field(description="a business metric as module:function")
