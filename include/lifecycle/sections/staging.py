"""Part of section rollout: what a version must show in its own server, in staging, before any traffic."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from include.lifecycle.sections.base import Section
from include.lifecycle.units import PositiveDuration


class StagingSection(Section):
    """The tests before traffic: golden answers, health and refusal of bad input always, and these."""

    latency_budget: PositiveDuration = Field(
        description="p95 that requests of one row, one after the other, may take at most on the serving hardware"
    )
    requests: Annotated[int, Field(ge=20, le=100_000)] = Field(description="requests that the p95 is taken over")
