"""Sections monitoring.faults, monitoring.bias and monitoring.security."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from include.lifecycle.sections.base import NotNegative, Section, Share


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
