"""The part of a version's profile that the further monitors of inputs read; made by referencing.py at registration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from include.lifecycle.monitoring.nulls import Null

JOINT_SAMPLE = "@joint:"
SKEW_SAMPLE = "@skew:"  # prefix of the hold-out's samples among the profile's; no column can be called like either


class Part(BaseModel):
    """Base of the parts: frozen."""

    model_config = ConfigDict(frozen=True)


class NoveltyReference(Part):
    """One column: the share of hold-out rows that are missing, outliers or of a category that training never saw, and the shares
    that hold-out windows hardly exceed (`*_bar`). `low`, `high`: training's outlier quantiles, of numeric columns only."""

    missing: float
    missing_bar: float
    strange: float
    strange_bar: float
    low: float | None = None
    high: float | None = None


class HoldoutColumn(Part):
    """One column of the hold-out: nulls of a window's distance to it, and the counts of a categorical one.

    The sorted sample of a numeric column stands among the profile's samples under SKEW_SAMPLE; distances are divided by `scale`,
    the standard deviation of training.
    """

    nulls: list[Null]
    scale: float | None = None
    counts: dict[str, int] | None = None


class FeatureCells(Part):
    """How a feature is cut: inner `edges` of a numeric one, or its frequent `categories`; and its attribution on the hold-out."""

    edges: list[float] = Field(default_factory=list)
    categories: list[str] | None = None
    effect: float = 0.0


class AttributionReference(Part):
    """The features' attributions on the hold-out, and the nulls of 1 - NDCG."""

    features: dict[str, FeatureCells]
    nulls: list[Null]


class MultivariateReference(Part):
    """The hold-out's joint rows: how each column reads as numbers, and the nulls of the AUC.

    The columns stand among the profile's samples under JOINT_SAMPLE + name, the rows' blocks of time under JOINT_SAMPLE.
    """

    features: dict[str, FeatureCells]
    nulls: list[Null]
    seed: int


class InputsReference(Part):
    """What further monitors compare windows with. A part is empty when its monitor was off at registration."""

    novelty: dict[str, NoveltyReference] = Field(default_factory=dict)
    holdout: dict[str, HoldoutColumn] = Field(default_factory=dict)
    attribution: AttributionReference | None = None
    multivariate: MultivariateReference | None = None
    creep: dict[str, Null] = Field(default_factory=dict)
