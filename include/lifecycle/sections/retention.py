"""Section retention: how long versions and predictions are kept."""

from __future__ import annotations

from pydantic import Field

from include.lifecycle.sections.base import Positive, Section
from include.lifecycle.units import Duration


class RetentionSection(Section):
    """How long versions are kept."""

    keep_versions: Positive = Field(
        description="newest versions whose served copies are kept when retired (files in the registry are always kept)"
    )
    retire_after: Duration = Field(description="event time after which a version without an alias is retired")
    keep_predictions: Duration = Field(description="event time that the prediction log is kept")
