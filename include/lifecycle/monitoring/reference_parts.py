"""Parts of a version's profile that faults, bias and security are judged by; profile.py holds them, registration fills them.

A profile from before a part existed has None or nothing there, and the checks that need it say so or do not run.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """Base of the parts: frozen."""

    model_config = ConfigDict(frozen=True)


class Coding(Part):
    """How a column is cut into at most a few codes: inner `edges` of a numeric one, or the common `categories` of a text (the
    rest share a code). `shares`: of each code in training."""

    edges: list[float] = []
    categories: list[str] = []
    shares: list[float]


class Association(Part):
    """Two columns that go together: bias-corrected Cramer's V in training, and the V that hold-out windows hardly fall below."""

    first: str
    second: str
    strength: float
    lowest: float


class FeedReference(Part):
    """What hold-out windows show at most: share of nulls in one part of a window and share of a window in one unbroken run of
    one value (both by column), share of rows that repeat an earlier one; and which columns go together."""

    burst_bars: dict[str, float] = {}
    run_bars: dict[str, float] = {}
    duplicate_bar: float = 0.0
    codings: dict[str, Coding] = {}
    associations: list[Association] = []


class GroupReference(Part):
    """One attribute (or intersection, names joined by `*`) and one measure in the hold-out: rate and standard error by group.

    `edges`: by numeric column, at which its groups are cut.
    """

    attribute: str
    measure: str
    rates: dict[str, float]
    errors: dict[str, float]
    edges: dict[str, list[float]] = {}


class PatternReference(Part):
    """What honest traffic does: statistics of query patterns in windows of `rows` rows drawn from the hold-out, by name, with the
    number of independent windows that they are worth."""

    rows: int
    draws: dict[str, list[float]] = {}
    windows: dict[str, float] = {}
