"""Parts of section monitoring about what came of the predictions: estimates, label flow, traffic, resources, business."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from include.lifecycle.sections.base import Name, NotNegative, Positive, Section, Share
from include.lifecycle.units import Duration, PositiveDuration


class EstimateSection(Section):
    """Performance without labels (CBPE): it may fail a window, never pass one."""

    enabled: bool = Field(description="whether classifiers' windows without labels are estimated")
    rows: Annotated[int, Field(ge=100, le=1_000_000)] = Field(description="rows of a window that are estimated from at most")


class LabelFlowSection(Section):
    """When labels come as they should. Shares are fractions of a window's rows or labels."""

    minimum_coverage: Share = Field(
        description="fraction of predictions with a key that must have their label once it is due; 0: only compared with recent "
        "windows"
    )
    coverage_drop: Share = Field(
        description="fraction of the recent windows' median coverage whose loss is a fault; 1 compares with none"
    )
    windows: Annotated[int, Field(ge=3, le=500)] = Field(description="recent windows that coverage is compared with")
    clock_skew: Duration = Field(description="time by which a label may be known before its event, or in the future")
    max_skewed: Share = Field(description="fraction of labels that may be known at impossible times")
    max_conflicting: Share = Field(description="fraction of labels that may contradict another one of the same key and time")
    max_unknown: Share = Field(description="fraction of labels that may belong to no prediction; 1: all, they are only counted")


class TrafficSection(Section):
    """When requests come as they should."""

    minimum_rows: Annotated[int, Field(ge=0)] = Field(description="rows per window of the whole model; fewer are an alert")
    minimum_share: Share = Field(
        description="fraction of the fewest rows in the same window of recent weeks that must come; 0 compares with none"
    )
    weeks: Annotated[int, Field(ge=1, le=26)] = Field(description="recent weeks that traffic is compared with; two must be known")


class ResourcesSection(Section):
    """What the servers of one version may use in a window; read from Prometheus (MODELOPS_PROMETHEUS_URL), null: not judged."""

    cpu: Annotated[float, Field(gt=0, le=1)] | None = Field(description="fraction of its workers' cores, 95th percentile")
    memory: Annotated[float, Field(gt=0, le=1)] | None = Field(description="fraction of memory_limit, or of the machine's memory")
    memory_limit: Annotated[int, Field(ge=1_048_576)] | None = Field(
        description="bytes for a version's servers; null: the machine's"
    )
    error_rate: Share | None = Field(description="fraction of requests that failed by the server's fault")
    latency_p95: PositiveDuration | None = Field(description="wall time of an answer, 95th percentile of the log's rows")


class BusinessMetricSection(Section):
    """One number of the business per window, compared with the same window of recent weeks."""

    name: Name = Field(description="what the check is called: `business:<name>`")
    query: Annotated[str, Field(pattern=r"^[A-Za-z0-9_./-]+\.sql$")] = Field(
        description="SQL file below include/sql that gives one row with column `value`; binds :window_start and :window_end"
    )
    direction: Literal["higher", "lower"] = Field(default="higher", description="which direction is better")
    minimum_effect: NotNegative = Field(
        default=0.05,
        description="change for the worse below which nothing is told, as a fraction of the reference's mean",
    )
    weeks: Annotated[int, Field(ge=3, le=52)] = Field(default=8, description="recent weeks that are asked for as the reference")
    minimum_weeks: Positive = Field(default=4, description="weeks with a value; fewer are inconclusive")
