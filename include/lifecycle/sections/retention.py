"""Section retention: how long versions are kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from include.lifecycle.sections.base import Positive, Section
from include.lifecycle.units import Duration


class RetentionSection(Section):
    """How long versions are kept. Metadata (tags, metrics, evaluation, card, record) is kept for ever."""

    keep_versions: Positive = Field(
        description="newest versions whose files are never removed (served copies; in the registry see retention.artifacts)"
    )
    keep_known_good: Annotated[int, Field(ge=0)] = Field(
        description="newest champions that were not rolled back whose files are never removed"
    )
    retire_after: Duration = Field(description="event time after which a version without an alias is retired")
    artifacts: Literal["keep", "delete"] = Field(
        description="what happens in the registry to model files of retired, unprotected versions; served copies always go"
    )
