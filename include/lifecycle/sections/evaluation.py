"""Section evaluation: what a challenger must show before it may be rolled out. The single gates' sections stand in gates.py."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from include.lifecycle.sections.base import Column, NotNegative, Positive, Section
from include.lifecycle.sections.gates import (
    Act,
    ActionRateSection,
    BusinessSection,
    CalibrationSection,
    ConsistencySection,
    DriftGateSection,
    FairnessSection,
    ImportanceSection,
    InconclusiveSection,
    LatencySection,
    SliceLimitsSection,
    SliceSearchSection,
    SliceSection,
)

__all__ = ["EvaluationSection", "FairnessSection"]


class EvaluationSection(Section):
    """What a challenger must show."""

    floors: dict[str, float] = Field(
        description="limits of further metrics by name, such as accuracy: 0.85; a metric on the wrong side stops the version"
    )
    promote_if: Literal["not_worse", "better"] = Field(description="what a scheduled challenger must show against the champion")
    margin: NotNegative = Field(description="in units of the metric; so much worse still counts as not worse")
    anchor: Act = Field(
        description="compare by the same margin with the last version that was proven better, so that small losses do not add up"
    )
    on_inconclusive: InconclusiveSection = Field(description="what happens when the hold-out cannot tell")
    resample_by: Literal["day", "entity"] = Field(description="blocks of the bootstrap")
    entity: Column | None = Field(description="column whose values are the blocks of resample_by entity; null: data.key")
    resamples: Annotated[int, Field(ge=100)] = Field(description="bootstrap resamples")
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = Field(description="confidence of all intervals")
    minimum_rows: Positive = Field(description="rows; fewer common rows are inconclusive")
    fairness: FairnessSection = Field(description="groups that must not fare differently")
    calibration: CalibrationSection = Field(description="whether probabilities are rates")
    action_rate: ActionRateSection = Field(description="change of the share of rows that are acted upon")
    business: BusinessSection = Field(description="a metric in the business's own unit")
    slices: list[SliceSection] = Field(description="parts of the data that are judged on their own")
    slice_limits: SliceLimitsSection = Field(description="what is asked of a declared slice")
    slice_search: SliceSearchSection = Field(description="search for slices that fare worse")
    consistency: ConsistencySection = Field(description="same input, same answer")
    drift: DriftGateSection = Field(description="distance of the hold-out from the training rows")
    importance: ImportanceSection = Field(description="what the predictions rest on")
    latency: LatencySection = Field(description="time of one prediction")

    @property
    def columns(self) -> list[str]:
        """Columns that gates read besides features: fairness attributes, intersections, and the entity of the blocks."""
        crossed = [name for names in self.fairness.intersections for name in names]
        return list(dict.fromkeys([*self.fairness.attributes, *crossed, *([self.entity] if self.entity else [])]))
