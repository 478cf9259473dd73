"""Candidates: a row per registered version that may be rolled out. Registration opens them, planning a rollout claims them."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import candidates
from include.lifecycle.verdicts import Outcome

CandidateState = Literal["open", "held"]


def open_candidate(
    rt: Runtime,
    connection: Connection,
    model: str,
    version: int,
    run_id: str,
    outcome: Outcome,
    evidence: dict[str, Any],
    *,
    state: CandidateState = "open",
) -> int:
    """Open the version's candidate in the caller's transaction and return its id; again, the id of the first row.

    One that is `held` waits until a person releases it (`cli release`).
    """
    values = {
        "model": model,
        "version": version,
        "state": state,
        "verdict": outcome.value,
        "created_at": rt.clock.now(),
        "run_id": run_id,
        "evidence": evidence,
    }
    statement = insert(candidates).values(values).on_conflict_do_nothing(constraint="candidates_once").returning(candidates.c.id)
    new_id = connection.execute(statement).scalar_one_or_none()
    if new_id is not None:
        return int(new_id)
    same = (candidates.c.model == model) & (candidates.c.version == version)
    return int(connection.execute(select(candidates.c.id).where(same)).scalar_one())


def waiting_versions(connection: Connection, model: str) -> set[int]:
    """Versions whose candidate still waits for a rollout or a person, or is in a rollout."""
    mine = (candidates.c.model == model) & candidates.c.state.in_(("open", "claimed", "held"))
    return {int(version) for version in connection.execute(select(candidates.c.version).where(mine)).scalars()}
