"""Section rollout.metrics: a user's own measurements of a rollout, asked of Prometheus."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from include.lifecycle.sections.base import Name, Section
from include.lifecycle.units import PositiveDuration

PLACES = ("model", "version", "champion")


class MetricSection(Section):
    """One metric: a PromQL query that gives one number, and the limit that it may not break."""

    name: Name = Field(description="what the check is called: `metric:<name>`")
    query: Annotated[str, Field(min_length=1, max_length=2000)] = Field(
        description="PromQL that gives one number; {{model}}, {{version}} and {{champion}} are filled in"
    )
    limit: float = Field(description="value that the number is held against, in its own unit")
    direction: Literal["at_most", "at_least"] = Field(default="at_most", description="on which side of the limit it must lie")
    readings: Annotated[int, Field(ge=1, le=100)] = Field(
        default=3, description="readings in a row that must break the limit for the rollout to go back"
    )
    every: PositiveDuration = Field(default="15s", validate_default=True, description="wall time between two readings")
    required: bool = Field(
        default=False,
        description="whether each stage (not the bake) waits until the number is known and keeps the limit",
    )

    @field_validator("query")
    @classmethod
    def _known_places(cls, query: str) -> str:
        rest = query
        for place in PLACES:
            rest = rest.replace(f"{{{{{place}}}}}", "")
        if "{{" in rest or "}}" in rest:
            raise ValueError(f"got {query!r}; what stands in double braces may be {', '.join(PLACES)}")
        return query

    def filled(self, model: str, version: int, champion: int | None) -> str:
        """The query with its places filled in; without a champion its version is 0, which no series has."""
        values = {"model": model, "version": str(version), "champion": str(champion or 0)}
        text = self.query
        for place, value in values.items():
            text = text.replace(f"{{{{{place}}}}}", value)
        return text
