"""What a rollout's driver acts and looks with: the target, the registry, and the readers of evidence. Tests pass their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from include.lifecycle.rollout.evidence import ExperimentEvidence, PairEvidence, PerformanceEvidence
from include.lifecycle.rollout.sources.base import Source, usual_sources
from include.lifecycle.rollout.states import Plan, Status
from include.lifecycle.rollout.targets.base import Target
from include.lifecycle.runtime import Runtime


@dataclass(frozen=True)
class Hands:
    """What a driver acts with: the target, the registry's aliases and files, and (optionally) what it looks with: the performance
    of both arms, a shadow's pairs, an experiment's samples; each reader is given the runtime, the rollout's id, and its plan.
    """

    target: Target
    promote: Callable[..., None]
    demote: Callable[..., None]
    withdraw: Callable[..., None]
    champion_of: Callable[[Runtime, str], int | None]
    previous_of: Callable[[Runtime, str], int | None]
    foreign_aliases: Callable[[Runtime, str], dict[str, dict[str, int | None]]]
    materialise: Callable[[Runtime, str, int], tuple[Path, str]]
    performance: Callable[[Runtime, int, Plan], PerformanceEvidence | None] | None = None
    pairs: Callable[[Runtime, int, Plan, Status], PairEvidence | None] | None = None
    experiment: Callable[[Runtime, int, Plan, Status], ExperimentEvidence | None] | None = None
    sources: tuple[Source, ...] = ()


def usual_hands(rt: Runtime) -> Hands:
    """The embedded target and the MLflow registry."""
    from include.lifecycle.registry.artefacts import materialise_version
    from include.lifecycle.registry.client import PREVIOUS, alias_version, champion_version
    from include.lifecycle.registry.promotion import demote, foreign_aliases, promote, withdraw
    from include.lifecycle.rollout.judging.experiment import experiment_of
    from include.lifecycle.rollout.judging.performance import performance_of
    from include.lifecycle.rollout.judging.shadow import pairs_of
    from include.lifecycle.rollout.targets.embedded import EmbeddedTarget

    return Hands(
        target=EmbeddedTarget(rt),
        promote=promote,
        demote=demote,
        withdraw=withdraw,
        champion_of=champion_version,
        previous_of=lambda rt, model: alias_version(rt, model, PREVIOUS),
        foreign_aliases=foreign_aliases,
        materialise=materialise_version,
        performance=performance_of,
        sources=usual_sources(rt),
        pairs=pairs_of,
        experiment=experiment_of,
    )
