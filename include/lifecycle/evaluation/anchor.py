"""The anchor: the last version that was proven better. Many small losses, each within the margin, must not add up below it.

Proven means: registered with the tag `proven_better` (its gain over its champion lay above 0), promoted, and not demoted since.
The first version that was promoted counts as proven: it was better than the baseline.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import RowMapping

from include.lifecycle.errors import ArtefactDigestError, SourceQueryError
from include.lifecycle.evaluation.champion import Champion, load_champion
from include.lifecycle.registry.artefacts import model_version
from include.lifecycle.registry.promotion import moves
from include.lifecycle.runtime import Runtime

PROVEN_TAG = "proven_better"
MOST_LOOKED_AT = 50  # promoted versions, newest first


def anchor_version(rt: Runtime, model: str) -> int | None:
    """Number of the anchor, or None when no promotion of this model stands in the ledger."""
    kept = kept_champions(moves(rt, model))
    for version in reversed(kept[-MOST_LOOKED_AT:]):
        if _proven(rt, model, version):
            return version
    return kept[0] if kept else None


def kept_champions(rows: Sequence[RowMapping]) -> list[int]:
    """Versions that became champion and were not demoted afterwards, oldest first, from finished moves of the aliases."""
    kept: list[int] = []
    last: int | None = None
    for row in sorted(rows, key=lambda one: int(one["id"])):
        if row["phase"] != "done":
            continue
        found = row["evidence"].get("aliases_after", {}).get("champion")
        champion = None if found is None else int(found)
        if str(row["act"]).startswith("demote") and row["version_before"] in kept:
            kept.remove(row["version_before"])
        elif champion is not None and champion != last:
            kept = [*(one for one in kept if one != champion), champion]
        last = champion
    return kept


def load_anchor(rt: Runtime, model: str, version: int) -> Champion | str:
    """The anchor as it was served, or in words why it cannot be compared with (removed by retention, damaged)."""
    try:
        return load_champion(rt, model, version)
    except (ArtefactDigestError, SourceQueryError) as problem:
        return str(problem)


def _proven(rt: Runtime, model: str, version: int) -> bool:
    try:
        return bool(model_version(rt, model, version).tags.get(PROVEN_TAG) == "true")
    except SourceQueryError:
        return False  # deleted: older ones are asked
