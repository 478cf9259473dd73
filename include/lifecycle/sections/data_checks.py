"""Sections below data: what fetched rows must meet beside their expectations, and what happens to rows that do not."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from include.lifecycle.sections.base import Section, Share

_Above = Annotated[float, Field(gt=0)]


class MissingSection(Section):
    """Missing values of the columns that the model reads."""

    max_share: Share = Field(
        description="fraction; more nulls in one feature fail the data (columns.<name>.max_missing overrides it)"
    )


class OutliersSection(Section):
    """Values far from the rest of their numeric feature."""

    method: Literal["robust_z", "iqr", "none"] = Field(
        description="robust_z: distance from the median in robust standard deviations; iqr: distance beyond the quartiles in "
        "interquartile ranges (Tukey's fences); none: not looked at"
    )
    threshold: _Above = Field(description="distance, in the method's unit, beyond which a value is an outlier")
    max_share: Share = Field(description="fraction; more outliers in one feature fail the data")
    quarantine_beyond: _Above | None = Field(
        description="distance, in the method's unit, beyond which the row goes to quarantine; null: no row does"
    )


class SchemaChangeSection(Section):
    """Difference of the rows from those of the model's last accepted training data."""

    then: Literal["fail", "warn", "ignore"] = Field(
        description="what a change leads to: added, removed or retyped columns, new or vanished categories, another unit"
    )
    category_share: Annotated[float, Field(gt=0, le=1)] = Field(
        description="fraction of rows from which a new or vanished category counts as a change"
    )
    unit_jump: Annotated[float, Field(gt=1)] = Field(
        description="ratio, up or down, of a numeric feature's median size that counts as another unit"
    )


class QuarantineSection(Section):
    """Rows that cannot be trained on: set aside with their reasons, in no snapshot and no training."""

    max_share: Share = Field(description="fraction of the fetched rows; more rows in quarantine fail the data")
