"""Section monitoring: what is watched, how often, and when it counts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from include.lifecycle.sections.base import NotNegative, Positive, Section, Share
from include.lifecycle.units import PositiveDuration

NumericMethod = Literal["wasserstein", "kl_divergence"]
CategoricalMethod = Literal["jensen_shannon", "kl_divergence"]


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

    warn: Share = Field(description="fraction of skill lost that warns")
    act: Share = Field(description="fraction of skill lost that is decay")
    concept: Share = Field(description="fraction of skill lost that is called concept drift")
    calibration_gap: Share = Field(
        description="|mean prediction - mean outcome| that is decay: as a rate (multiclass: of any class), for a regression in "
        "standard deviations of the target"
    )


class MonitoringSection(Section):
    """What is watched, how often, and over which windows of event time."""

    schedule: Literal["hourly", "daily", "weekly"] = Field(description="how often the model is looked at")
    window: PositiveDuration = Field(description="event time per window")
    minimum_rows: Positive = Field(description="rows; fewer predictions are inconclusive")
    minimum_labels: Positive = Field(description="rows; fewer mature labels are inconclusive")
    report: Literal["each", "failed", "off"] = Field(
        description="which windows get Evidently's report: each, those in which a check failed, or none"
    )
    report_rows: Positive = Field(description="rows of the Evidently report's sample")
    report_keep: Positive = Field(description="newest Evidently reports (and snapshots of the workspace) that are kept")
    workspace: bool = Field(description="whether Evidently's snapshots are also kept for its own UI (docs/reports.md)")
    drift: DriftSection = Field(description="when inputs have moved")
    performance: PerformanceSection = Field(description="when outcomes have moved")
