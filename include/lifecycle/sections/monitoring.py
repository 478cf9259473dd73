"""Section monitoring: what is watched, how often, and when it counts."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from include.lifecycle.sections.base import NotNegative, Positive, Section, Share
from include.lifecycle.sections.inputs import (
    AttributionSection,
    CreepSection,
    MultivariateSection,
    NoveltySection,
    SeasonalSection,
    SkewSection,
)
from include.lifecycle.sections.outcomes import (
    BusinessMetricSection,
    EstimateSection,
    LabelFlowSection,
    ResourcesSection,
    TrafficSection,
)
from include.lifecycle.sections.safety import BiasSection, FaultsSection, SecuritySection
from include.lifecycle.units import PositiveDuration

NumericMethod = Literal["wasserstein", "jensen_shannon", "kl_divergence", "psi", "ks"]
CategoricalMethod = Literal["jensen_shannon", "kl_divergence", "psi", "chi_square"]


class DriftSection(Section):
    """When a distance counts: above its minimum effect and above its own null quantile."""

    numeric: NumericMethod = Field(description="distance of numeric features and predictions; a version keeps its own")
    categorical: CategoricalMethod = Field(description="distance of categorical features; a version keeps its own")
    minimum_effect: NotNegative = Field(description="distance below which nothing is drift")
    act_effect: NotNegative = Field(
        description="distance above its threshold at which prediction drift takes all of its part of health; where "
        "retraining.covariate, population or equipment is retrain, a column's distance that retrains"
    )
    false_alarms_per_quarter: Annotated[float, Field(gt=0)] = Field(
        description="false alarms that are put up with per model, over all its columns and windows"
    )


class PerformanceSection(Section):
    """Ladder on the relative loss of skill, or relative growth of a regression's error (bound of its interval), as fractions."""

    notice: Share = Field(description="fraction of skill lost that is told")
    warn: Share = Field(description="fraction of skill lost that warns")
    act: Share = Field(description="fraction of skill lost that is decay")
    concept: Share = Field(description="fraction of skill lost that is called concept drift")
    rollback: Share = Field(description="fraction of skill lost at which to ask whether the version before was better")
    floors: dict[str, float] = Field(
        description="limits of metrics by name, such as accuracy: 0.8 (errors and losses: upper limits); an interval wholly on "
        "the wrong side is decay"
    )
    calibration_gap: Share = Field(
        description="|mean prediction - mean outcome| that is decay: as a rate (multiclass: of any class), for a regression in "
        "standard deviations of the target"
    )
    calibration_spread: NotNegative = Field(
        description="standard deviations of the hold-out windows' gaps that a gap must exceed as well; 0 compares with none"
    )
    estimate: EstimateSection = Field(description="performance as estimated until labels come")


EVERY = {"hourly": timedelta(hours=1), "daily": timedelta(days=1), "weekly": timedelta(weeks=1)}
"""Time between two looks, by `monitoring.schedule`."""


class MonitoringSection(Section):
    """What is watched, how often, and over which windows of event time."""

    schedule: Literal["hourly", "daily", "weekly"] = Field(description="how often the model is looked at")
    window: PositiveDuration = Field(
        description="event time per window; by count or labels what one mostly takes: nulls, false alarms, how far to look back"
    )
    window_by: Literal["time", "count", "labels"] = Field(
        description="what ends a window: the clock, a number of predictions, or a number of mature labels"
    )
    window_rows: Positive = Field(description="predictions of a version per window, by count")
    window_labels: Positive = Field(description="mature labels of a version per window, by labels")
    counting: Literal["exact", "counts", "auto"] = Field(
        description="drift by the rows themselves, or by counts over some 2,000 cells; auto: counts above exact_rows"
    )
    exact_rows: Annotated[int, Field(ge=1000)] = Field(description="rows of a time window from which on auto counts")
    sample_rows: Annotated[int, Field(ge=1000)] = Field(
        description="rows, to twice as many, of a counted window's random sample: what every check but drift sees"
    )
    slice_rows: Annotated[int, Field(ge=1000)] = Field(
        description="rows about that are in memory at once when a window is counted; what one shard's task counts"
    )
    minimum_rows: Positive = Field(description="rows; fewer predictions are inconclusive")
    minimum_labels: Positive = Field(description="rows; fewer mature labels are inconclusive")
    report: Literal["each", "failed", "off"] = Field(
        description="which windows get Evidently's report: each, those in which a check failed, or none"
    )
    report_rows: Positive = Field(description="rows of the Evidently report's sample")
    report_keep: Positive = Field(description="newest Evidently reports (and snapshots of the workspace) that are kept")
    workspace: bool = Field(description="whether Evidently's snapshots are also kept for its own UI (docs/reports.md)")
    novelty: NoveltySection = Field(description="when inputs hold what training never had")
    skew: SkewSection = Field(description="when serving differs from training from the start on")
    keep_counts: PositiveDuration = Field(
        description="event time that counts of measured windows are kept (small files; seasonal references are made of them)"
    )
    attribution: AttributionSection = Field(description="when other features move the predictions")
    multivariate: MultivariateSection = Field(description="when inputs have moved together")
    reference: Literal["training", "seasonal", "auto"] = Field(
        description="what drift of columns is measured against; auto: the season once there is enough of it, until then training"
    )
    seasonal: SeasonalSection = Field(description="what the season is")
    creep: CreepSection = Field(description="when inputs move slowly")
    drift: DriftSection = Field(description="when inputs have moved")
    performance: PerformanceSection = Field(description="when outcomes have moved")
    labels: LabelFlowSection = Field(description="when labels come as they should")
    traffic: TrafficSection = Field(description="when requests come as they should")
    resources: ResourcesSection = Field(description="what the servers of a version may use")
    business: list[BusinessMetricSection] = Field(description="numbers of the business, asked of the model's database per window")
    faults: FaultsSection = Field(description="when the feed is broken")
    bias: BiasSection = Field(description="when groups are treated differently")
    security: SecuritySection = Field(description="when requests look like an attack")
