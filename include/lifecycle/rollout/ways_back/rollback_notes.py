"""What rollbacks leave in the ledger: what a run set out to do, so that it goes back no further when it runs again.

An intention that is not done keeps plan_rollout from opening a rollout against the champion that is about to go.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from sqlalchemy import Connection, RowMapping, select

from include.lifecycle.errors import GateFailedError
from include.lifecycle.ledger import Entry, Phase
from include.lifecycle.results import ReasonKind
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.tables import ledger

KIND = "rollback"
_BACK = ("roll_back", "abort")
KINDS: tuple[ReasonKind, ...] = get_args(ReasonKind)
UNDER_WAY = timedelta(hours=1)
"""Wall time after which a rollback that nobody finished no longer keeps rollouts waiting."""


def check_kind(kind: str) -> ReasonKind:
    """The kind of a reason; GateFailedError for any other word."""
    found = next((one for one in KINDS if one == kind), None)
    if found is None:
        raise GateFailedError(f"got reason kind {kind!r}; allowed: {', '.join(KINDS)}")
    return found


def under_way(connection: Connection, model: str) -> str:
    """Which rollback of the model was begun and is not over; empty when none is."""
    begun = unfinished(connection, model)
    return "" if begun is None else f"a rollback is under way: {begun['act']} ({begun['actor']})"


def unfinished(connection: Connection, model: str) -> RowMapping | None:
    """The oldest recent rollback of the model that is neither done nor failed: its entry `intended`."""
    row = ledger.c
    recent = row.wall_at > datetime.now(UTC) - UNDER_WAY
    query = select(ledger).where(row.model == model, row.kind == KIND, recent).order_by(row.id)
    found = connection.execute(query).mappings().all()
    over = {one["idempotency_key"] for one in found if one["phase"] in ("done", "failed")}
    return next((one for one in found if one["phase"] == "intended" and one["idempotency_key"] not in over), None)


def went_back(connection: Connection, model: str, within: timedelta, *, but: int | None = None) -> str:
    """When and how the model's traffic last went back, by wall time; empty when it did not `within` that time.

    `but`: a rollout whose end does not count.
    """
    row = ledger.c
    done = (((row.kind == "rollout") & row.act.in_(_BACK)) | (row.kind == KIND)) & (row.phase == "done")
    settled = (row.kind == KIND) & row.act.startswith("settle the return")
    query = select(row.wall_at, row.act, row.idempotency_key).where(row.model == model, done | settled)
    found = connection.execute(query.where(row.wall_at > datetime.now(UTC) - within).order_by(row.id.desc())).all()
    last = next((one for one in found if not str(one.idempotency_key).startswith(f"rollout:{but}:")), None)
    return "" if last is None else f"the traffic went back at {last.wall_at:%H:%M:%S} UTC ({last.act})"


def phase_seen(rt: Runtime, run: RunContext, model: str, phase: Phase) -> RowMapping | None:
    """This run's entry of that phase."""
    mine = (row for row in rt.ledger.read(model, kind=KIND) if row["run_id"] == run.run_id)
    return next((row for row in mine if row["phase"] == phase), None)


def note_stop(rt: Runtime, run: RunContext, model: str, reason: str, found: dict[str, Any]) -> None:
    """Remember which open rollout this run ends: `found` holds rollout, version, champion, had_traffic."""
    entry = Entry(
        model=model,
        kind=KIND,
        act=f"stop rollout {found['rollout']}",
        actor=run.actor,
        reason=reason,
        version_before=found["version"],
        version_after=found["champion"],
        run_id=run.run_id,
        idempotency_key=f"{_key(run, model)}:stop",
        evidence=found,
    )
    rt.ledger.write(entry)


def note(
    rt: Runtime,
    run: RunContext,
    model: str,
    versions: tuple[int, int],
    phase: Phase,
    reason: str,
    connection: Connection | None = None,
    **evidence: Any,
) -> None:
    """One phase of a rollback from the first of `versions` to the second."""
    entry = Entry(
        model=model,
        kind=KIND,
        act=f"roll back to {versions[1]}",
        phase=phase,
        actor=run.actor,
        reason=reason,
        version_before=versions[0],
        version_after=versions[1],
        run_id=run.run_id,
        idempotency_key=_key(run, model),
        evidence={"weights": {versions[1]: 100}, **evidence},
    )
    rt.ledger.write(entry, connection)


def _key(run: RunContext, model: str) -> str:
    return f"rollback:{model}:{run.run_id}"
