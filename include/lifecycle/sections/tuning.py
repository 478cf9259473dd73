"""Sections below training: what tuning searches, how a point is scored, when it stops, and how a champion learns on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from include.lifecycle.sections.base import Column, Positive, Section
from include.lifecycle.units import Duration, PositiveDuration

Scalar = bool | int | float | str
Choice = Scalar | None


class SearchRange(Section):
    """The bounds of one parameter. A list in its place names choices, a plain value fixes it."""

    # a model's file may say one bound only, the other is the default's; the merged whole needs both
    model_config = ConfigDict(json_schema_extra=lambda schema: schema.pop("required", None))

    low: float = Field(description="least value that may be tried")
    high: float = Field(description="greatest value that may be tried")
    start: float | None = Field(
        default=None, description="tried first, drawn into the bounds; left out: their middle (of the logarithms, with log)"
    )
    log: bool = Field(default=False, description="whether values are drawn evenly over orders of magnitude")


def _kind_of(value: object) -> str:
    if isinstance(value, dict | SearchRange):
        return "range"
    return "choices" if isinstance(value, list) else "kept"


SearchValue = Annotated[
    Annotated[SearchRange, Tag("range")] | Annotated[list[Choice], Tag("choices")] | Annotated[Scalar, Tag("kept")],
    Discriminator(_kind_of),
]
SearchSpaces = dict[str, dict[str, SearchValue]]


class FoldingSection(Section):
    """How training rows are cut into folds that score a point."""

    kind: Literal["forward", "stratified", "group", "k_fold"] = Field(
        description="forward: learn from the past, score on what came after; stratified: shuffled, each fold with all classes "
        "in their shares; group: no group on both sides; k_fold: shuffled. Only forward knows time"
    )
    group_by: Column | None = Field(description="column that names the group (kind group), such as a customer; needed there")
    gap: Duration | None = Field(
        description="time left out between learning and scoring (kind forward); null: labels.mature_after, so that no label "
        "is learnt from that was not final yet"
    )


class PruningSection(Section):
    """When a trial is stopped before its last fold."""

    kind: Literal["median", "hyperband", "none"] = Field(
        description="median: its running mean is worse than the median of earlier trials; hyperband: the better share goes on; "
        "none: every trial is scored on all folds"
    )
    startup_trials: Annotated[int, Field(ge=0, le=1000)] = Field(
        description="finished trials before the first is stopped (median)"
    )
    warmup_folds: Annotated[int, Field(ge=0, le=19)] = Field(description="folds of each trial that never stop it (median)")
    reduction: Annotated[int, Field(ge=2, le=20)] = Field(description="of so many trials one goes on (hyperband)")


class HeartbeatSection(Section):
    """How the trial of a worker that died is found and run again by another one."""

    interval: PositiveDuration = Field(description="wall time between two signs of life, whole seconds")
    grace: PositiveDuration = Field(description="silence after which a worker counts as dead; its trial is run by another one")
    retries: Annotated[int, Field(ge=0, le=20)] = Field(
        description="how often one point may kill its worker and be tried again; then it counts as failed and another is drawn"
    )


class IncrementalSection(Section):
    """What method incremental adds to the champion."""

    minimum_rows: Positive = Field(description="rows newer than the champion's fit; fewer are no basis and end the training")
    new_trees: Annotated[int, Field(ge=1, le=1000)] = Field(description="trees that one incremental training adds")
    most_trees: Positive = Field(
        description="trees of one model; beyond it a forest drops its oldest, and boosting asks for a full training"
    )
