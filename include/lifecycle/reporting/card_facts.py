"""The facts of a model card, gathered once at registration and stored as `card/facts.json`; cards are rendered from them.

What changes later (stage, aliases, what happened to the version) is no fact of the version: it is the card's status.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from include.lifecycle.registry.record import VersionRecord
from include.lifecycle.results import Evaluation
from include.lifecycle.spec import CardSection, ModelSpec
from include.lifecycle.verdicts import Verdict

_LINEAGE = (
    "semver_change",
    "parent_version",
    "champion_before",
    "source",
    "reason",
    "cause",
    "requests",
    "run_id",
    "mlflow_run_id",
)
_DIGESTS = ("spec_hash", "snapshot_id", "model_digest", "interface_hash", "training_hash", "git_revision")


class CardFacts(BaseModel):
    """Everything that a card says of a version, JSON-plain. Shares and metrics are plain fractions; times are UTC."""

    model_config = ConfigDict(frozen=True)

    model: str
    version: int
    semver: str
    description: str
    owner: str
    tier: str
    risk: str
    task: str
    metric: str
    algorithm: str
    params: dict[str, Any]
    engine: str
    target: str
    numeric: list[str]
    categorical: list[str]
    words: CardSection
    data: dict[str, Any]
    window: tuple[datetime, datetime]
    verdicts: list[Verdict]
    deployable: bool
    reason: str
    metrics: dict[str, float]
    baseline_metrics: dict[str, float]
    champion_metrics: dict[str, float] | None
    importance: dict[str, float]
    lineage: dict[str, str]
    digests: dict[str, str]
    exports: dict[str, str]
    registered_at: datetime


class CardStatus(BaseModel):
    """Where the version stands at `at`: its stage and aliases, and what happened to it, oldest first (time, act, reason)."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    stage: str
    aliases: list[str]
    events: list[tuple[datetime, str, str]]


def card_facts(
    spec: ModelSpec,
    version: int,
    tags: Mapping[str, str],
    record: VersionRecord,
    evaluation: Evaluation,
    exports: Mapping[str, str],
) -> CardFacts:
    """The facts of a version whose tags, record and evaluation are known."""
    return CardFacts(
        model=spec.name,
        version=version,
        semver=tags.get("semver", ""),
        description=spec.description,
        owner=spec.owner,
        tier=spec.tier,
        risk=spec.risk,
        task=spec.objective.task,
        metric=spec.objective.metric,
        algorithm=record.algorithm,
        params=record.params,
        engine=tags.get("engine", ""),
        target=spec.data.target,
        numeric=list(spec.features.numeric),
        categorical=list(spec.features.categorical),
        words=spec.card,
        data=record.data,
        window=(record.order.window_start, record.order.window_end),
        verdicts=evaluation.verdicts,
        deployable=evaluation.deployable,
        reason=evaluation.reason,
        metrics=evaluation.metrics,
        baseline_metrics=evaluation.baseline_metrics,
        champion_metrics=evaluation.champion_metrics,
        importance=importance_of(evaluation),
        lineage={name: tags[name] for name in _LINEAGE if tags.get(name)},
        digests={name: tags[name] for name in _DIGESTS if tags.get(name)},
        exports=dict(exports),
        registered_at=datetime.fromisoformat(tags["registered_at"]),
    )


def importance_of(evaluation: Evaluation) -> dict[str, float]:
    """Permutation importance by feature (loss of the objective's metric when it is shuffled), empty where it was not measured."""
    file = evaluation.report.parent / "importance.json"
    if not file.is_file():
        return {}
    features = json.loads(file.read_text(encoding="utf-8"))["features"]
    return {str(one["feature"]): float(one["drop"]) for one in features if one["drop"] is not None}
