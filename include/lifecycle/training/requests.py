"""Training requests: rows that somebody wrote because something happened, and stage confirm_training that claims them.

`decide`, a person or a cron asks; confirm_training folds all open requests of a model into one order under the model's lock;
registration (or a failure) finishes them; upkeep frees what a dead run left behind. The order itself is kept in the ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, insert, select, update

from include.lifecycle.alerting.events import end_event, tell_event
from include.lifecycle.alerting.kinds import TRAINING_FAILED
from include.lifecycle.data.given import check_given
from include.lifecycle.database import lock_model, transaction
from include.lifecycle.decisions.schedule import cron_of, last_slot
from include.lifecycle.errors import TrainingRefusedError
from include.lifecycle.ledger import Entry
from include.lifecycle.registry.client import champion_version
from include.lifecycle.results import TrainingOrder
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import ledger, training_requests
from include.lifecycle.training.conf import TrainingConf, read_conf
from include.lifecycle.training.folding import cause_name, fold, told
from include.lifecycle.training.permission import CONFIRM_ACT, FORCED, Refusal, refusal

RunState = Literal["alive", "failed", "gone"]
SLOT = "slot"  # key in the cause of a request that `decide` wrote for a slot whose own run had not come
_ROWS = training_requests.c


def request_training(
    rt: Runtime,
    connection: Connection,
    *,
    model: str,
    source: str,
    reason: str,
    cause: dict[str, Any] | str,
    requested_by: str,
    requested_at: datetime,
) -> int:
    """Ask for a training and return the request's id; while the same asker's for the same model and cause is open, that one's id.

    `cause` is `{"cause": "decay:calibration_gap", ...}` or just that text; its kind and measure are kept apart for evaluation.
    Belongs to the caller's transaction.
    """
    about = told(cause)
    lock_model(connection, model)
    for row in _requests(connection, model, "open"):
        if (cause_name(row["cause"]), row["requested_by"]) == (cause_name(about), requested_by):
            return int(row["id"])
    values: dict[str, Any] = {"model": model, "source": source, "reason": reason, "cause": about}
    values |= {"requested_by": requested_by, "requested_at": requested_at}
    return int(connection.execute(insert(training_requests).values(values).returning(_ROWS.id)).scalar_one())


def confirm_training(
    spec: ModelSpec, rt: Runtime, run: RunContext, *, trigger: Literal["signal", "schedule", "manual"], conf: dict[str, Any]
) -> TrainingOrder:
    """Claim all open requests of the model for this run and fix its window; again with the same run id, the same order.

    Trigger `signal` needs an open request; `schedule` and `manual` write their own first, which waits when it is refused. Only
    `manual` reads `conf` (see conf.py); of `schedule` it says who started it, if a person did. A training that starts takes
    requests along that wait for a person's approval: it is what they asked for.

    Raises:
        TrainingRefusedError: nothing asked for, or permission.py says no; open requests stay open, the refusal is in the ledger.
        SpecInvalidError: `conf` holds an unknown key or a wrong value, or data from where none may be given.
        SourceUnavailableError: database or MLflow did not answer.
    """
    wanted = read_conf(conf, spec) if trigger == "manual" else TrainingConf(requested_by=conf.get("requested_by"))
    if wanted.data is not None:
        check_given(wanted.data, rt.settings, f"model {spec.name}, conf of the run")
    champion = champion_version(rt, spec.name)
    with transaction(rt.engine) as connection:
        lock_model(connection, spec.name)
        outcome = _claim(spec, rt, run, connection, trigger, wanted, champion)
        waiting = [row["id"] for row in _requests(connection, spec.name, "open")]
        if isinstance(outcome, Refusal) and (again := outcome.look_again(rt.clock.now())) is not None:
            connection.execute(update(training_requests).where(_ROWS.id.in_(waiting)).values(not_before=again))
    if isinstance(outcome, TrainingOrder):
        return outcome
    # Upkeep wakes a waiting request every few minutes: the same answer to the same requests is noted once.
    key = f"refuse-training:{spec.name}:{waiting}:{outcome.reason}" if trigger == "signal" and waiting else None
    until = outcome.until.isoformat() if outcome.until else None
    evidence = {"trigger": trigger, "waiting": waiting, "until": until, **wanted.model_dump(mode="json")}
    rt.ledger.write(_entry(spec, run, "refuse training", outcome.reason, evidence, key))
    waits = f"; waiting: request {', '.join(map(str, waiting))}" if waiting else ""
    raise TrainingRefusedError(f"model {spec.name}: {outcome.reason}{waits}")


def finish_requests(
    rt: Runtime,
    model: str,
    run_id: str,
    state: Literal["done", "failed", "refused"],
    version: int | None,
    outcome: str,
    connection: Connection | None = None,
) -> int:
    """Close what the model's run `run_id` claimed, with the version that came of it; returns how many rows changed.

    Run ids are unique in a Dag only: the cron runs of two models have the same one. A run whose failed task a person ran again
    may end well after all: `done` also takes what the failure had closed.
    """
    if connection is None:
        with transaction(rt.engine) as own:
            return finish_requests(rt, model, run_id, state, version, outcome, own)
    if state == "done":
        told = f"run {run_id} made version {version}"
        end_event(connection, rt, TRAINING_FAILED, model, key="newest", reason=told, actor="training")
    takable = ("claimed", "failed") if state == "done" else ("claimed",)
    statement = (
        update(training_requests)
        .where(_ROWS.model == model, _ROWS.run_id == run_id, _ROWS.state.in_(takable))
        .values(state=state, version=version, outcome=outcome)
    )
    return int(connection.execute(statement).rowcount)


def release_stale(rt: Runtime, run_state: Callable[[str, str], RunState]) -> list[int]:
    """For upkeep: what a run that ended without a word had claimed is opened again (run gone) or closed as failed (run failed).

    `run_state(model, run_id)` is asked after the claim was read, so a run that is just starting is never taken for gone.
    """
    with transaction(rt.engine) as connection:
        claimed = connection.execute(select(_ROWS.id, _ROWS.model, _ROWS.run_id).where(_ROWS.state == "claimed")).all()
    freed = []
    for row in claimed:
        if (found := run_state(row.model, row.run_id)) == "alive":
            continue
        values: dict[str, Any] = {"state": "open", "run_id": None}
        if found == "failed":
            values = {"state": "failed", "outcome": f"run {row.run_id} failed"}
        still = (_ROWS.id == row.id) & (_ROWS.state == "claimed") & (_ROWS.run_id == row.run_id)
        with transaction(rt.engine) as connection:
            lock_model(connection, row.model)
            if connection.execute(update(training_requests).where(still).values(values)).rowcount:
                freed.append(int(row.id))
                if found == "failed":
                    told = {"key": "newest", "reason": f"run {row.run_id} failed without a word", "actor": "upkeep"}
                    tell_event(connection, rt, TRAINING_FAILED, row.model, **told)
    return freed


def _claim(
    spec: ModelSpec,
    rt: Runtime,
    run: RunContext,
    connection: Connection,
    trigger: str,
    wanted: TrainingConf,
    champion: int | None,
) -> TrainingOrder | Refusal:
    """The order, or why not. Runs under the model's lock."""
    now = rt.clock.now()
    before = _earlier_order(connection, run)
    if before is not None and _still_claimed(connection, run):
        return before
    by_clock = trigger == "schedule" and wanted.requested_by is None
    if before is None and by_clock and (trained := _slot_trained(connection, spec)) is not None:
        return trained
    if before is None and trigger != "signal":
        _write_own(rt, connection, spec.name, trigger, wanted, run, now)
    rows = _requests(connection, spec.name, "open")
    force = wanted.force or any(row["cause"].get("force") for row in rows)
    sources = {row["source"] for row in rows} | ({trigger} if before is not None else set())
    if (refused := refusal(connection, spec, run.run_id, now, sources=sources, force=force)) is not None:
        return refused
    if before is not None:  # a restarted run: the same window, and whatever of its requests was freed meanwhile
        _mark(connection, run.run_id, before.request_ids)
        return before
    if not rows:
        return Refusal("nothing asked for: no open training request")
    rows = sorted([*rows, *_requests(connection, spec.name, "awaiting")], key=lambda row: int(row["id"]))
    order = fold(spec, rows, wanted, now, champion)
    _mark(connection, run.run_id, order.request_ids)
    askers = list(dict.fromkeys(row["requested_by"] for row in rows))
    evidence = {"order": order.model_dump(mode="json"), FORCED: force, "requested_by": askers}
    rt.ledger.write(_entry(spec, run, CONFIRM_ACT, order.reason, evidence, key=_key(run)), connection)
    return order


def _slot_trained(connection: Connection, spec: ModelSpec) -> Refusal | None:
    """Why a cron's late run has nothing left to do: `decide` asked for its slot in its place, and a run took that."""
    cron = cron_of(spec)
    if cron is None:
        return None
    slot = last_slot(cron, datetime.now(UTC))
    query = select(_ROWS.run_id).where(_ROWS.model == spec.name, _ROWS.source == "schedule", _ROWS.requested_by == "schedule")
    query = query.where(_ROWS.state.in_(("claimed", "done")), _ROWS.cause[SLOT].as_string() == slot.isoformat())
    run_id = connection.execute(query.limit(1)).scalar()
    return None if run_id is None else Refusal(f"the slot of {slot:%Y-%m-%d %H:%M} UTC was trained already by run {run_id}")


def _write_own(
    rt: Runtime, connection: Connection, model: str, trigger: str, wanted: TrainingConf, run: RunContext, now: datetime
) -> None:
    by = wanted.requested_by or ("schedule" if trigger == "schedule" else run.actor)
    reason = wanted.reason or (f"the schedule asked at {now:%Y-%m-%d %H:%M} UTC" if trigger == "schedule" else f"{by} asked")
    cause = {"cause": trigger, **wanted.model_dump(mode="json", exclude_none=True, exclude={"reason", "requested_by"})}
    number = request_training(
        rt, connection, model=model, source=trigger, reason=reason, cause=cause, requested_by=by, requested_at=now
    )
    # Their earlier request may still wait, refused: what they say now counts, what they said then is in the refusal's entry.
    connection.execute(update(training_requests).where(_ROWS.id == number).values(reason=reason, cause=told(cause)))


def _requests(connection: Connection, model: str, state: str) -> list[RowMapping]:
    query = select(training_requests).where(_ROWS.model == model, _ROWS.state == state).order_by(_ROWS.id)
    return list(connection.execute(query).mappings())


def _mark(connection: Connection, run_id: str, request_ids: list[int]) -> None:
    takable = _ROWS.id.in_(request_ids) & _ROWS.state.in_(("awaiting", "open", "failed"))
    connection.execute(
        update(training_requests).where(takable).values(state="claimed", run_id=run_id, outcome=None, not_before=None)
    )


def _still_claimed(connection: Connection, run: RunContext) -> bool:
    query = select(_ROWS.id).where(_ROWS.model == run.model, _ROWS.run_id == run.run_id, _ROWS.state == "claimed").limit(1)
    return connection.execute(query).first() is not None


def _earlier_order(connection: Connection, run: RunContext) -> TrainingOrder | None:
    query = select(ledger.c.evidence).where(ledger.c.idempotency_key == _key(run))
    evidence = connection.execute(query).scalar_one_or_none()
    return None if evidence is None else TrainingOrder.model_validate(evidence["order"])


def _key(run: RunContext) -> str:
    return f"confirm-training:{run.model}:{run.run_id}"


def _entry(spec: ModelSpec, run: RunContext, act: str, reason: str, evidence: dict[str, Any], key: str | None = None) -> Entry:
    return Entry(
        model=spec.name,
        kind="training",
        act=act,
        reason=reason,
        actor=run.actor,
        spec_hash=spec.digest,
        run_id=run.run_id,
        idempotency_key=key,
        evidence=evidence,
    )
