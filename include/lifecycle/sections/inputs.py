"""Sections below monitoring: what is asked of inputs beside the distance of each column."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from include.lifecycle.sections.base import NotNegative, Section, Share

Confidence = Annotated[float, Field(ge=0.5, lt=1)]


class NoveltySection(Section):
    """Values that training did not have: how many more of them than in training count. 1: never."""

    new_categories: Share = Field(description="fraction of a window's rows with a category that training never saw")
    outliers: Share = Field(description="fraction of rows outside training's outlier quantiles, above what training itself has")
    missing: Share = Field(
        description="fraction of rows without a value, above training's; more than a fault asks for is a fault"
    )
    outlier_quantile: Annotated[float, Field(gt=0, le=0.1)] = Field(
        description="fraction at either end of training's values beyond which a value is an outlier"
    )
    recoded: Share = Field(description="fraction of rows with a never seen category that is a data fault: another encoding")
    confidence: Confidence = Field(description="of the interval whose lower bound must be above these")


class AttributionSection(Section):
    """Which features move the predictions, window by window against the hold-out."""

    enabled: bool = Field(description="whether attributions are watched; takes effect with the next version")
    minimum_ndcg: Share = Field(description="agreement of the features' ranking with the hold-out's below which it has drifted")


class MultivariateSection(Section):
    """Whether a classifier tells a window's rows from the hold-out's."""

    enabled: bool = Field(description="whether the joint distribution is watched; takes effect with the next version")
    rows: Annotated[int, Field(ge=200, le=50_000)] = Field(description="rows of window and hold-out that are looked at, of each")
    maximum_auc: Annotated[float, Field(ge=0.5, lt=1)] = Field(
        description="area under the ROC curve below which nothing is drift"
    )
    folds: Annotated[int, Field(ge=2, le=10)] = Field(description="parts of either sample that are scored without being seen")
    draws: Annotated[int, Field(ge=20, le=200)] = Field(
        description="hold-out windows per size that registration draws the null from"
    )
    confidence: Confidence = Field(description="of the interval of the area")


class SeasonalSection(Section):
    """The same hours of the week in recent weeks as the reference of drift."""

    weeks: Annotated[int, Field(ge=1, le=26)] = Field(description="recent weeks whose same hours are the reference")
    minimum_windows: Annotated[int, Field(ge=1, le=26)] = Field(description="windows of these weeks; fewer are no reference")
    null_windows: Annotated[int, Field(ge=20, le=1000)] = Field(
        description="earlier windows with a known distance to their own season; fewer tell no null"
    )


class CreepSection(Section):
    """Recent weeks together against training, once a day."""

    weeks: Annotated[int, Field(ge=0, le=26)] = Field(description="recent weeks that are compared with training; 0: not watched")
    minimum_weeks: Annotated[int, Field(ge=1, le=26)] = Field(
        description="weeks that clean windows must reach back; less is inconclusive"
    )
    windows: Annotated[int, Field(ge=7, le=1000)] = Field(
        description="stored windows that are read for it, spread over all hours"
    )
    minimum_effect: NotNegative = Field(description="distance below which nothing is creep")


class SkewSection(Section):
    """Difference between training and serving from a version's start on."""

    windows: Annotated[int, Field(ge=0, le=100)] = Field(
        description="windows from a version's start on that are compared with its hold-out; 0: none"
    )
    minimum_effect: NotNegative = Field(description="distance below which nothing is skew")
