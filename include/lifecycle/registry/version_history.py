"""A model's versions as people ask for them: what each is, why it was trained, and where it stands; read from MLflow only.

The command `versions` prints it. Registration wrote the tags, promotion and retirement move alias and stage.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from include.lifecycle.registry.artefacts import MANIFEST_TAG
from include.lifecycle.registry.client import aliases_of, versions_of
from include.lifecycle.registry.semver import CHANGE_TAG, SEMVER_TAG
from include.lifecycle.registry.stages import NO_STAGE, STAGE_TAG
from include.lifecycle.runtime import Runtime

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

_TOPICS = ("training", "promotion", "rollback", "retirement", "retention", "replay")


class RegisteredEntry(BaseModel):
    """One version. What it carries no tag for is None; `complete` is False while its registration has not finished.

    `cause` is the signal's, such as `decay:calibration_gap`, or the source of the training (`schedule`, `manual`, ...). Times are
    event time, UTC; `registered_at` is MLflow's wall time where the tag is missing.
    """

    model_config = ConfigDict(frozen=True)

    version: int
    semver: str | None
    change: str | None
    stage: str
    aliases: list[str]
    algorithm: str | None
    metric: str | None
    metric_value: float | None
    fit_until: datetime | None
    cause: str | None
    snapshot_id: str | None
    registered_at: datetime
    complete: bool


def version_history(rt: Runtime, model: str) -> list[RegisteredEntry]:
    """All versions, newest first; empty when the model is not registered.

    Raises:
        SourceUnavailableError: MLflow did not answer.
    """
    holders = aliases_of(rt, model)
    return [_entry(version, holders) for version in reversed(versions_of(rt, model))]


class HistoryEvent(BaseModel):
    """One thing that happened to a model's versions: when (event time), what, who, why, and which stages moved."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    kind: str
    act: str
    phase: str
    verdict: str | None
    actor: str
    reason: str
    stages: dict[str, list[str]]


def model_events(rt: Runtime, model: str) -> list[HistoryEvent]:
    """Registrations, moves of aliases, rollbacks, retirements, removals, pins and replays, oldest first, from the ledger.

    Raises SourceUnavailableError when the database does not answer.
    """
    rows = [row for topic in _TOPICS for row in rt.ledger.read(model, kind=topic, limit=100_000) if row["phase"] != "intended"]
    wanted = ("at", "kind", "act", "phase", "verdict", "actor", "reason")
    return [
        HistoryEvent(**{name: row[name] for name in wanted}, stages=row["evidence"].get("stages", {}))
        for row in sorted(rows, key=lambda row: int(row["id"]))
        if row["kind"] != "training" or row["version_after"] is not None
    ]


def _entry(found: ModelVersion, holders: dict[str, int]) -> RegisteredEntry:
    tags, number = dict(found.tags), int(found.version)
    created = datetime.fromtimestamp(found.creation_timestamp / 1000, UTC)
    return RegisteredEntry(
        version=number,
        semver=tags.get(SEMVER_TAG),
        change=tags.get(CHANGE_TAG),
        stage=tags.get(STAGE_TAG, NO_STAGE),
        aliases=sorted(alias for alias, holder in holders.items() if holder == number),
        algorithm=tags.get("algorithm"),
        metric=tags.get("metric"),
        metric_value=float(tags["metric_value"]) if "metric_value" in tags else None,
        fit_until=_moment(tags.get("fit_until")),
        cause=_cause(tags),
        snapshot_id=tags.get("snapshot_id"),
        registered_at=_moment(tags.get("registered_at")) or created,
        complete=MANIFEST_TAG in tags,
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def _cause(tags: dict[str, str]) -> str | None:
    """The signal's cause; a long one was cut when it became a tag and is no JSON any more, so then the source has to do."""
    try:
        told = json.loads(tags.get("cause", "{}"))
    except ValueError:
        told = {}
    named = told.get("cause") if isinstance(told, dict) else None
    return str(named) if named else tags.get("source")
