"""Where a version stands now, for its card: stage, aliases, and what the ledger says happened to it."""

from __future__ import annotations

from typing import Any

from include.lifecycle.errors import SourceQueryError
from include.lifecycle.registry.artefacts import model_version, read_file
from include.lifecycle.registry.client import aliases_of, champion_version, versions_of
from include.lifecycle.registry.stages import NO_STAGE, STAGE_TAG
from include.lifecycle.reporting.card import FACTS
from include.lifecycle.reporting.card_facts import CardFacts, CardStatus
from include.lifecycle.runtime import Runtime

_TOPICS = ("promotion", "rollback", "retirement", "retention", "replay")


def stored_facts(rt: Runtime, model: str, version: int) -> CardFacts:
    """The card's facts as registered, digest checked; errors as `read_file` raises them."""
    return CardFacts.model_validate_json(read_file(rt, model, version, f"card/{FACTS}"))


def card_status(rt: Runtime, model: str, version: int) -> CardStatus:
    """Stage and aliases from MLflow, events from the ledger (oldest first, finished acts and notes only)."""
    tags = dict(model_version(rt, model, version).tags)
    held = sorted(alias for alias, holder in aliases_of(rt, model).items() if holder == version)
    rows = [row for topic in _TOPICS for row in rt.ledger.read(model, kind=topic, limit=100_000) if row["phase"] != "intended"]
    mine = sorted((row for row in rows if about(row, version)), key=lambda row: row["id"])
    return CardStatus(
        at=rt.clock.now(),
        stage=tags.get(STAGE_TAG, NO_STAGE),
        aliases=held,
        events=[(row["at"], _told(row), row["reason"]) for row in mine],
    )


def about(row: Any, version: int) -> bool:
    """Whether a ledger row moved, retired or judged this version."""
    moved = row["evidence"].get("aliases_before", {}).values() if row["kind"] == "promotion" else ()
    return version in (row["version_after"], row["version_before"], *moved)


def shown_version(rt: Runtime, model: str, wanted: int | None) -> int:
    """`wanted`, or the champion, or the newest version where there is no champion.

    Raises SourceQueryError when the model has no versions.
    """
    if wanted is not None:
        return wanted
    if (champion := champion_version(rt, model)) is not None:
        return champion
    if found := versions_of(rt, model):
        return int(found[-1].version)
    raise SourceQueryError(f"{model} has no versions in MLflow at {rt.settings.mlflow_url}")


def _told(row: Any) -> str:
    verdict = f": {row['verdict']}" if row["verdict"] else ""
    return f"{row['act']}{verdict}{' (failed)' if row['phase'] == 'failed' else ''}"
