"""A person's word on a held candidate: the hold-out could not tell, somebody decides. `cli release` comes here."""

from __future__ import annotations

from sqlalchemy import select

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.ledger import Entry
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import candidates


def release_candidate(rt: Runtime, model: str, version: int, *, by: str, reason: str, refuse: bool = False) -> str | None:
    """Open (or, with `refuse`, refuse) the version's held candidate; returns None, or why there is nothing to release.

    A second call finds the candidate as the first one left it and says so. Upkeep wakes `deploy__<model>` for an open one.
    """
    state = "refused" if refuse else "open"
    with transaction(rt.engine) as connection:
        lock_model(connection, model)
        mine = (candidates.c.model == model) & (candidates.c.version == version)
        row = connection.execute(select(candidates).where(mine)).mappings().first()
        if row is None:
            return f"version {version} of {model} has no candidate: it was refused, or does not exist"
        if row["state"] != "held":
            return f"the candidate of version {version} of {model} is {row['state']}; only a held one is released"
        connection.execute(candidates.update().where(candidates.c.id == row["id"]).values(state=state))
        entry = Entry(
            model=model,
            kind="approval",
            act="refuse held candidate" if refuse else "release held candidate",
            reason=reason,
            actor=by,
            version_after=version,
            run_id=row["run_id"],
            evidence={"held_because": row["evidence"].get("reason")},
        )
        rt.ledger.write(entry, connection)
    return None


def has_candidates(rt: Runtime, model: str) -> bool:
    """Whether the model ever had a candidate, also one whose YAML is gone."""
    with transaction(rt.engine) as connection:
        return connection.execute(select(candidates.c.id).where(candidates.c.model == model).limit(1)).first() is not None
