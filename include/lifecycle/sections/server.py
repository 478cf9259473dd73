"""Section server: the processes that answer for one version."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from include.lifecycle.sections.base import Section


class ServerSection(Section):
    """How a version is served."""

    replicas: Annotated[int, Field(ge=1, le=32)] = Field(description="servers per version; a rolling rollout replaces one by one")
