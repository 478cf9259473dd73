"""Sections monitoring.faults, monitoring.bias and monitoring.security."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from include.lifecycle.sections.base import NotNegative, Positive, Section, Share
from include.lifecycle.units import PositiveDuration


class FaultsSection(Section):
    """When a column or the feed itself is broken, which freezes training and keeps the window's rows out of it."""

    null_jump: Share = Field(description="fraction of nulls above training's (lower bound of its interval) that is a fault")
    burst_jump: Share = Field(description="the same within one of up to 24 parts of a window: a burst of nulls")
    unit_factor: Annotated[float, Field(gt=1)] = Field(
        description="ratio of medians, up or down, that hints at another unit (feet for metres 3.28); smaller ones show as drift"
    )
    same_factor: Annotated[float, Field(gt=1)] = Field(
        description="another unit scales every quantile alike, within this ratio; a season or a storm does not"
    )
    stuck: Share = Field(description="fraction of a window's rows in one unbroken run of one value that is a stuck sensor")
    usual_value: Share = Field(description="fraction of training rows from which on a value is a usual one, and may stay long")
    duplicates: Share = Field(
        description="fraction of rows that repeat an earlier one, above the hold-out's, that is a resent batch"
    )
    association_lost: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="fraction of a pair's association (Cramer's V) that must be gone, with every column that one went with, "
        "to call it a shifted join"
    )


class BiasSection(Section):
    """Groups of evaluation.fairness.attributes in live traffic; the limit of a gap is evaluation.fairness.max_gap."""

    increase: NotNegative = Field(
        description="fraction (regression: of the target's standard deviation) by which a gap may grow over the hold-out's"
    )


class SecuritySection(Section):
    """When requests look like an attack; each bar is at least what honest traffic shows within the budget of false alarms."""

    false_alarms_per_quarter: Annotated[float, Field(gt=0)] = Field(
        description="false alarms that are put up with per model, half for rates and half for patterns of queries; "
        "apart from drift's"
    )
    trusted_clients: list[str] = Field(
        description="clients (names of API keys) that may burst, sweep and repeat: load tests, what-if tools"
    )
    history: PositiveDuration = Field(description="wall time before a window that its rates are compared with")
    denied_per_hour: Positive = Field(description="requests without a good key in an hour up to which nothing is told")
    burst_per_minute: Positive = Field(description="requests of one client in a minute up to which nothing is a burst")
    queries: Annotated[int, Field(ge=50, le=2000)] = Field(
        description="rows of one client that are looked at together; clients with fewer are taken together. "
        "A version keeps its own"
    )
    looks: Annotated[int, Field(ge=1, le=100)] = Field(description="such looks per window, over all clients")
    sweep: Share = Field(description="fraction of queries that differ from two others in one column only")
    near_duplicates: Share = Field(description="fraction of queries with a near-duplicate")
    coverage: Annotated[float, Field(ge=1)] = Field(
        description="factor on the median share of the input space that honest runs cover"
    )
    far_outside: Share = Field(description="fraction of queries far outside all that training had")
    far_ranges: NotNegative = Field(description="widths of a column's 1 to 99 % range beyond it that are far outside")
    boundary: Share = Field(description="fraction of queries at the decision's boundary and close to one another")
    boundary_width: Share = Field(
        description="distance of a probability from the threshold (multiclass: of the two best from each other) that is "
        "at the boundary"
    )
