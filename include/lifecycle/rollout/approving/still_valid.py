"""After the approval and before the act: is what was planned, checked and approved still what would be rolled out?

The champion, the candidate, the freeze, the evaluation and the files are read once more; one that changed stops the rollout.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, RowMapping, select

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.errors import ArtefactDigestError
from include.lifecycle.ledger import Entry
from include.lifecycle.rollout.hands import Hands
from include.lifecycle.rollout.lease import rollout_row
from include.lifecycle.rollout.planning.recheck import is_stale
from include.lifecycle.rollout.states import State
from include.lifecycle.rollout.ways_back.freezing import frozen_reason
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.tables import candidates, ledger
from include.lifecycle.verdicts import Outcome, Verdict, worst

CHECK = "still valid"
# What ends with this rollout only: the candidate itself is as good as it was, and waits again.
_PASSING = ("champion", "freeze", "evaluation")


def still_valid(rt: Runtime, run: RunContext, rollout_id: int, hands: Hands) -> Verdict:
    """Look at every precondition once more; the verdict goes to the ledger with each single one.

    Raises SourceUnavailableError when MLflow or the database does not answer.
    """
    with transaction(rt.engine) as connection:
        row = rollout_row(connection, rollout_id)
    champion = hands.champion_of(rt, row["model"])
    files = _files(rt, row, hands)
    with transaction(rt.engine) as connection:
        found = [*_rows(connection, row, champion), files]
        failed = [one for one in found if one.failed]
        reason = "; ".join(one.reason for one in failed)
        told = f"the approval does not count: {reason}" if failed else "nothing changed since the plan"
        verdict = Verdict(
            check=CHECK, outcome=worst(found), reason=told, evidence={"checks": [one.model_dump(mode="json") for one in found]}
        )
        rt.ledger.write(_entry(run, row, verdict, waits=_waits(failed)), connection)
    return verdict


def reopen(rt: Runtime, run: RunContext, rollout_id: int) -> bool:
    """Let the candidate wait again when only the circumstances changed; whether it does. Called again, it changes nothing."""
    with transaction(rt.engine) as connection:
        row = rollout_row(connection, rollout_id)
        lock_model(connection, row["model"])
        mine = (ledger.c.model == row["model"]) & (ledger.c.idempotency_key == _key(rollout_id, "fail"))
        failed = connection.execute(select(ledger.c.evidence).where(mine)).scalar()
        if failed is None or not failed["waits"]:
            return False
        done = select(ledger.c.id).where(ledger.c.idempotency_key == _key(rollout_id, "reopen"))
        if State(row["state"]) is State.REFUSED and connection.execute(done).first() is None:
            free = (candidates.c.id == row["candidate_id"]) & (candidates.c.state == "done")
            connection.execute(candidates.update().where(free).values(state="open"))
            entry = Entry(
                model=row["model"],
                kind="rollout",
                act="candidate waits again",
                reason=f"version {row['version']}: {row['reason']}",
                actor=run.actor,
                version_after=row["version"],
                run_id=run.run_id,
                idempotency_key=_key(rollout_id, "reopen"),
            )
            rt.ledger.write(entry, connection)
    return True


def _rows(connection: Connection, row: RowMapping, champion: int | None) -> Iterator[Verdict]:
    planned = row["champion"]
    yield _verdict("champion", champion == planned, f"the champion is version {champion}; the plan was made against {planned}")
    frozen = frozen_reason(connection, row["model"])
    yield _verdict("freeze", not frozen, frozen or "nothing is frozen")
    candidate = connection.execute(select(candidates).where(candidates.c.id == row["candidate_id"])).mappings().first()
    state = candidate["state"] if candidate else "gone"
    yield _verdict("candidate", state == "claimed", f"the candidate is {state}")
    stale = candidate is not None and is_stale(candidate, champion)
    yield _verdict("evaluation", not stale, "it was evaluated against another champion" if stale else "the evaluation stands")


def _files(rt: Runtime, row: RowMapping, hands: Hands) -> Verdict:
    """The version's files against their manifest, and the manifest against the one that the serving check saw."""
    try:
        _folder, digest = hands.materialise(rt, row["model"], row["version"])
    except ArtefactDigestError as problem:
        return _verdict("files", False, str(problem))
    mine = (ledger.c.model == row["model"]) & (ledger.c.act == "check serving") & (ledger.c.verdict == Outcome.PASS.value)
    seen = ledger.c.idempotency_key.startswith(f"rollout:{row['id']}:serving:")
    with transaction(rt.engine) as connection:
        checked = connection.execute(select(ledger.c.evidence).where(mine, seen).order_by(ledger.c.id.desc()).limit(1)).scalar()
    known = (checked or {}).get("digest", digest)
    return _verdict("files", known == digest, f"sha256 of the manifest {digest[:12]}, when it was checked {known[:12]}")


def _waits(failed: list[Verdict]) -> bool:
    """Whether the candidate may be planned again: only circumstances speak against it, nothing about itself."""
    return bool(failed) and all(one.check in _PASSING for one in failed)


def _verdict(check: str, good: bool, reason: str) -> Verdict:
    return Verdict(check=check, outcome=Outcome.PASS if good else Outcome.FAIL, reason=reason)


def _entry(run: RunContext, row: RowMapping, verdict: Verdict, *, waits: bool) -> Entry:
    return Entry(
        model=row["model"],
        kind="gate",
        act="check again before traffic",
        reason=verdict.reason,
        actor=run.actor,
        verdict=verdict.outcome,
        version_before=row["champion"],
        version_after=row["version"],
        run_id=run.run_id,
        idempotency_key=_key(row["id"], verdict.outcome.value),
        evidence=verdict.evidence | {"waits": waits},
    )


def _key(rollout_id: int, what: str) -> str:
    return f"rollout:{rollout_id}:again:{what}"
