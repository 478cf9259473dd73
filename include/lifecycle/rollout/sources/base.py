"""The interface of a source of measurements, and how all are read at one look: one that is down never stops the look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.rollout.evidence import Measurement
from include.lifecycle.rollout.states import Plan, Stage, State, Status
from include.lifecycle.runtime import Runtime


@dataclass(frozen=True)
class Look:
    """What a source is given: the plan and where the rollout is, the measurement of the last look and of this one, and the time
    (epoch seconds)."""

    rt: Runtime
    plan: Plan
    status: Status
    before: Measurement
    seen: Measurement
    now: float

    @property
    def stage(self) -> Stage | None:
        """The present stage; None during the bake."""
        return self.plan.stage_at(self.status.step) if self.status.state is State.RUNNING else None

    def due(self, last: float | None, every: float) -> bool:
        """Whether `every` seconds have passed since `last`, or it was never read in this stage."""
        return last is None or self.now - last >= every


class Source(Protocol):
    """A place that tells something about both arms."""

    @property
    def name(self) -> str:
        """What `silent` calls it."""
        ...

    def read(self, look: Look) -> dict[str, Any]:
        """Fields of the Measurement as this source sees them now; empty when there is nothing new.

        What it does not know it leaves out: no value is inconclusive, never a pass. Raises SourceUnavailableError when the source
        does not answer.
        """
        ...


def read_sources(sources: Sequence[Source], look: Look) -> Measurement:
    """The measurement with what all sources tell; `silent` names those that did not answer, with the reason."""
    silent: dict[str, str] = {}
    update: dict[str, Any] = {}
    for source in sources:
        try:
            update |= source.read(look)
        except SourceUnavailableError as problem:
            silent[source.name] = f"{source.name} did not answer: {problem}"
    return look.seen.model_copy(update=update | {"silent": silent})


def usual_sources(rt: Runtime) -> tuple[Source, ...]:
    """All sources of one installation."""
    from include.lifecycle.rollout.gateway.envoy_admin import EnvoyAdmin
    from include.lifecycle.rollout.sources.gateway import GatewaySource
    from include.lifecycle.rollout.sources.prediction_log import PredictionLogSource
    from include.lifecycle.rollout.sources.processes import ProcessSource
    from include.lifecycle.rollout.sources.prometheus import PrometheusSource
    from include.lifecycle.rollout.sources.server_probe import ServerProbe

    return (
        GatewaySource(EnvoyAdmin(rt.settings.gateway_admin_url)),
        ServerProbe(),
        PrometheusSource(rt.settings.prometheus_url),
        PredictionLogSource(),
        ProcessSource(),
    )
