"""Sections of the single gates of `evaluation`: what each judges by, and whether its fail stops a version or only warns."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from include.lifecycle.sections.base import Column, Name, NotNegative, Positive, Section, Share
from include.lifecycle.units import PositiveDuration

Act = Literal["off", "warn", "fail"]
Answer = Literal["canary", "hold", "refuse"]
Rows = Annotated[int, Field(ge=30)]
_ACT = "what a breach does: fail stops the version, warn is only told, off does not look"


class FairnessSection(Section):
    """Groups between which rates must not differ by more than `max_gap` (interval above the limit fails)."""

    attributes: list[Column] = Field(description="columns whose groups are compared; numbers are cut into `bins` groups")
    intersections: list[Annotated[list[Column], Field(min_length=2, max_length=4)]] = Field(
        description="lists of columns whose combinations are groups, such as [[female, region]]"
    )
    max_gap: Share = Field(
        description="fraction (regression: of the target's standard deviation); a gap whose whole interval lies above it fails"
    )
    minimum_group: Positive = Field(description="rows that a group's rate must rest on; smaller groups are named, never judged")
    bins: Annotated[int, Field(ge=2, le=20)] = Field(
        description="groups of a numeric attribute with more distinct values, by quantiles"
    )


class InconclusiveSection(Section):
    """What happens when the hold-out cannot tell: the canary decides, a person releases it, or it is not rolled out."""

    not_worse: Answer = Field(description="a challenger that had to be not worse")
    better: Answer = Field(description="a challenger that had to be better: decay, changed features or algorithm")
    gates: Answer = Field(description="any other gate that stops a version when it fails")


class CalibrationSection(Section):
    """How far predicted probabilities may be off observed rates; regression has none."""

    act: Act = Field(description=_ACT)
    max_error: Share = Field(description="expected calibration error in 10 bins; an interval above it is a breach")


class ActionRateSection(Section):
    """By how much a binary classifier's share of acted-upon rows may differ from the champion's."""

    act: Act = Field(description=_ACT)
    max_change: Share = Field(description="fraction; an interval of the change wholly beyond it, up or down, is a breach")


class BusinessSection(Section):
    """A business metric per row, in money or minutes; off while neither expression nor function is set."""

    act: Act = Field(description=_ACT)
    expression: str | None = Field(description="SQL expression over the hold-out's columns and prediction, decision, label")
    function: str | None = Field(description="module:function below include/, taking such a table, returning a number per row")
    direction: Literal["higher", "lower"] = Field(description="which is better")
    aggregate: Literal["mean", "total"] = Field(description="per row, or over the hold-out")
    floor: float | None = Field(description="in the metric's unit; a value on the wrong side is a breach")
    margin: NotNegative | None = Field(
        description="in the metric's unit; so much worse than the champion is no breach; null: not compared"
    )


class SliceSection(Section):
    """A declared part of the hold-out that is judged on its own."""

    name: Name = Field(description="name in verdicts")
    where: str = Field(min_length=1, description="SQL condition over the hold-out's columns, such as carrier = 'UA'")


class SliceLimitsSection(Section):
    """What is asked of each declared slice: not to lose the objective's metric against the champion, or else the whole."""

    act: Act = Field(description=_ACT)
    max_drop: NotNegative = Field(
        description="in units of the objective's metric; a drop whose interval lies above it is a breach"
    )
    minimum_rows: Positive = Field(description="rows; a smaller slice is too small to tell")


class SliceSearchSection(Section):
    """Search for slices with higher loss: found on one half of the blocks, confirmed on the other."""

    act: Act = Field(description=_ACT)
    minimum_rows: Positive = Field(description="rows of a slice in each half")
    effect: NotNegative = Field(description="excess loss in standard deviations of the loss; smaller effects are not named")
    most: Annotated[int, Field(ge=1, le=100)] = Field(description="worst slices that are taken to the confirming half")
    level: Annotated[float, Field(gt=0, lt=0.5)] = Field(description="probability that a search without any true slice names one")
    bins: Annotated[int, Field(ge=2, le=20)] = Field(description="quantile bins of a numeric feature")


class ConsistencySection(Section):
    """Same input, same answer: twice, in another order, one by one; and hardly another one after a small perturbation."""

    act: Act = Field(description=_ACT)
    rows: Rows = Field(description="hold-out rows that are asked")
    tolerance: NotNegative = Field(
        description="largest difference of a prediction between batch, permuted batch, single row (regression: target deviations)"
    )
    noise: NotNegative = Field(description="perturbation of each numeric feature, in its standard deviations")
    max_changed: Share = Field(description="fraction of decisions that the perturbation may change (regression: not asked)")
    max_shift: NotNegative = Field(
        description="mean absolute change of a prediction that the perturbation may cause (regression: in target deviations)"
    )


class DriftGateSection(Section):
    """Distance of the hold-out from the training rows, by the methods and minimum effect of monitoring.drift."""

    act: Act = Field(description=_ACT)
    rows: Rows = Field(description="training rows that the distances are computed on")
    draws: Annotated[int, Field(ge=20, le=2000)] = Field(
        description="training windows of the hold-out's length, drawn for the null"
    )
    level: Annotated[float, Field(gt=0, lt=0.5)] = Field(description="probability of a false alarm, over all features together")


class ImportanceSection(Section):
    """Permutation importance on the hold-out, kept with the version as `importance.json`."""

    act: Act = Field(description="what a breach of max_share does; off computes nothing")
    rows: Rows = Field(description="hold-out rows")
    repeats: Annotated[int, Field(ge=1, le=50)] = Field(description="permutations of each feature")
    max_share: Share = Field(
        description="largest share of all importance that one feature may carry: a leak looks so; 1: no limit"
    )


class LatencySection(Section):
    """Time of one single-row prediction by the artefact that would serve, on the machine that evaluates."""

    act: Act = Field(description=_ACT)
    p95: PositiveDuration = Field(description="budget of the 95th percentile; an interval above it is a breach")
    rows: Rows = Field(description="single rows that are timed")
