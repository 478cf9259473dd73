"""The documents' stages (None, Staging, Production, Archived) as a tag that follows the aliases, and every legal movement of it.

promotion.py and retirement.py write the tag; MLflow's own stages are deprecated and not used.
"""

from __future__ import annotations

from collections.abc import Mapping

from include.lifecycle.errors import GateFailedError
from include.lifecycle.registry.client import CHALLENGER, CHAMPION, PREVIOUS, SHADOW

STAGE_TAG = "stage"
NO_STAGE, STAGING, PRODUCTION, ARCHIVED = "None", "Staging", "Production", "Archived"
_OF_ALIAS = {SHADOW: STAGING, CHALLENGER: STAGING, PREVIOUS: STAGING, CHAMPION: PRODUCTION}  # the last one held wins

# From -> to, with what moves it. What is not listed is refused: a champion is never archived, an archived version stays known.
MOVEMENTS: dict[tuple[str, str], str] = {
    (NO_STAGE, STAGING): "nominated as challenger or shadow, or kept as previous",
    (NO_STAGE, PRODUCTION): "promoted to champion",
    (NO_STAGE, ARCHIVED): "retired without ever being needed",
    (STAGING, PRODUCTION): "promoted to champion",
    (STAGING, NO_STAGE): "withdrawn: its rollout ended without promotion, or it is previous no more",
    (STAGING, ARCHIVED): "retired: no alias for longer than retention.retire_after",
    (PRODUCTION, STAGING): "became previous: a newer version was promoted",
    (PRODUCTION, NO_STAGE): "rolled back",
    (ARCHIVED, STAGING): "brought back as challenger, shadow or previous",
    (ARCHIVED, PRODUCTION): "brought back as champion",
}


def stage_after(aliases: Mapping[str, int], version: int, before: str) -> str:
    """The stage of `version` when `aliases` (alias -> version) hold; an archived version without alias stays archived."""
    held = [stage for alias, stage in _OF_ALIAS.items() if aliases.get(alias) == version]
    return held[-1] if held else (ARCHIVED if before == ARCHIVED else NO_STAGE)


def check_movement(model: str, version: int, before: str, after: str) -> None:
    """Raise GateFailedError for a movement that is not legal; staying is always legal, an unknown word moves anywhere."""
    known = {NO_STAGE, STAGING, PRODUCTION, ARCHIVED}
    if before != after and before in known and (before, after) not in MOVEMENTS:
        allowed = ", ".join(sorted(to for start, to in MOVEMENTS if start == before))
        raise GateFailedError(f"{model}: version {version} cannot move from stage {before} to {after}; allowed: {allowed}")
