"""The plan of what is retired and removed, version by version with its reasons; retirement.py carries it out.

Two questions are asked of each version: may its server go and the version be archived (nobody needs it, and long enough), and may
its files go (archived, and in no protected set). Metadata is never removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from include.lifecycle.evaluation.anchor import anchor_version, kept_champions
from include.lifecycle.registry.artefacts import FILES_TAG, REMOVED_TAG
from include.lifecycle.registry.client import versions_of
from include.lifecycle.registry.semver import SEMVER_TAG
from include.lifecycle.registry.stages import ARCHIVED, NO_STAGE, STAGE_TAG
from include.lifecycle.registry.usage import Use, in_use, too_early, use_of
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

RETIRED_TAG, PIN_TAG = "retired_at", "pinned"
SERVED_COPY, REGISTRY_FILES = "served copy", "model files in the registry"


class VersionPlan(BaseModel):
    """What happens to one version. `in_use`: why it is not archived; `protected`: why its files stay; `remove`: what goes."""

    model_config = ConfigDict(frozen=True)

    version: int
    semver: str | None
    stage: str
    archived: bool
    in_use: str | None
    protected: list[str]
    archive: bool
    remove: list[str]

    @property
    def decision(self) -> str:
        """`keep`, or the acts in words."""
        acts = (["archive"] if self.archive else []) + [f"remove {what}" for what in self.remove]
        return ", ".join(acts) or "keep"

    @property
    def reasons(self) -> str:
        """Why, in one sentence."""
        kept = [*([self.in_use] if self.in_use else []), *self.protected]
        if kept:
            return "; ".join(kept)
        return (
            "nobody needs it and nothing protects it" if self.decision != "keep" else "archived; nothing of it is left to remove"
        )


def plan_retention(spec: ModelSpec, rt: Runtime, connection: Connection) -> list[VersionPlan]:
    """The plan for all versions, oldest first; call it under the model's lock to act upon it.

    Raises SourceUnavailableError when MLflow or the database does not answer.
    """
    entries = versions_of(rt, spec.name)
    use = use_of(rt, connection, spec.name)
    sets = _protected_sets(spec, rt, entries, use)
    return [_planned(spec, rt, entry, use, sets) for entry in entries]


def _protected_sets(spec: ModelSpec, rt: Runtime, entries: list[ModelVersion], use: Use) -> dict[str, set[int]]:
    """Versions by the reason why their files stay."""
    keep, good = spec.retention.keep_versions, spec.retention.keep_known_good
    known_good = kept_champions(use.moves)
    anchor = anchor_version(rt, spec.name)
    return {
        f"one of the newest {keep} (retention.keep_versions)": {int(entry.version) for entry in entries[-keep:]},
        f"one of the last {good} champions that were not rolled back (retention.keep_known_good)": set(
            known_good[-good:] if good else []
        ),
        "the anchor that challengers are compared with": {anchor} if anchor is not None else set(),
    }


def _planned(spec: ModelSpec, rt: Runtime, entry: ModelVersion, use: Use, sets: dict[str, set[int]]) -> VersionPlan:
    version, tags = int(entry.version), dict(entry.tags)
    archived = RETIRED_TAG in tags and tags.get(STAGE_TAG) == ARCHIVED
    needed = in_use(version, tags, use)
    if needed is None and not archived:
        needed = too_early(spec, rt, version, tags, use.moves)
    protected = [reason for reason, versions in sets.items() if version in versions]
    if pinned := tags.get(PIN_TAG):
        protected.append(f"pinned: {pinned}")
    return VersionPlan(
        version=version,
        semver=tags.get(SEMVER_TAG),
        stage=tags.get(STAGE_TAG, NO_STAGE),
        archived=archived,
        in_use=needed,
        protected=protected,
        archive=needed is None and not archived,
        remove=[] if needed or protected else _present(spec, rt, version, tags),
    )


def _present(spec: ModelSpec, rt: Runtime, version: int, tags: dict[str, str]) -> list[str]:
    """What there is to remove of an unprotected version."""
    found = [SERVED_COPY] if rt.storage.served(spec.name, version).exists() else []
    stored = spec.retention.artifacts == "delete" and FILES_TAG in tags and REMOVED_TAG not in tags
    return found + ([REGISTRY_FILES] if stored else [])
