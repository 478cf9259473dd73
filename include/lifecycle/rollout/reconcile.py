"""Puts right what fell between two drivers: rollouts nobody drives, rollbacks nobody finished, what drills and the watchdog left.

Called every few minutes by the upkeep Dag; what concerns one model stands in reconcile_model.py. It only follows rows: what
somebody changed by hand is undone and reported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import RowMapping, func, select

from include.lifecycle.database import transaction
from include.lifecycle.errors import LifecycleError
from include.lifecycle.rollout.drill_traces import is_drill, sweep_drills
from include.lifecycle.rollout.driver import close_rollout, drive_once
from include.lifecycle.rollout.envoy_admin import EnvoyAdmin
from include.lifecycle.rollout.hands import Hands, usual_hands
from include.lifecycle.rollout.reconcile_model import ModelUpkeep
from include.lifecycle.rollout.states import OPEN_STATES, Plan, State
from include.lifecycle.rollout.watchdog_ledger import import_journal, silence
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import rollouts

_GRACE = timedelta(hours=2)
_ABANDONED = "its deploy run ended before it had traffic, or nobody took it up in time"


RunAlive = Callable[[str, str], bool]
"""Whether the deploy run (model, run id) may still act on its rollout."""


def reconcile(rt: Runtime, specs: Iterable[str], *, run_alive: RunAlive | None = None, hands: Hands | None = None) -> list[str]:
    """One sentence per thing that was put right or could not be; `specs` are model names (or a mapping by name). Never raises for
    one model's trouble: the others are still looked after."""
    used = hands or usual_hands(rt)
    said = (
        _trying("watchdog", partial(import_journal, rt))
        + _trying("watchdog", partial(silence, rt))
        + _trying("drill", partial(sweep_drills, rt))
    )
    for row in _lapsed(rt):
        said += _trying(f"rollout {row['id']}", partial(_drive, rt, row, used))
    for row in _forgotten(rt, run_alive):
        said += _trying(f"rollout {row['id']}", partial(_give_up, rt, row, used))
    for model in sorted(specs):
        one = ModelUpkeep(rt, used, model)
        for act in (one.rollbacks, one.aliases, one.watchdog, one.servers, one.traffic, one.orphans):
            said += _trying(model, act)
    return said + _trying("gateway", partial(_rotate, rt))


def _rotate(rt: Runtime) -> list[str]:
    """Rename a large access log and keep one old one: readers follow the file by its inode."""
    log = rt.settings.gateway_log
    if not log.exists() or log.stat().st_size < rt.settings.upkeep.log_bytes:
        return []
    log.replace(log.with_name(f"{log.name}.1"))
    EnvoyAdmin(rt.settings.gateway_admin_url).reopen_logs()
    return ["access log rotated"]


def _trying(what: str, act: Callable[[], Iterable[str]]) -> list[str]:
    try:
        return [f"{what}: {sentence}" for sentence in act()]
    except LifecycleError as problem:
        return [f"{what}: not now, {problem}"]


def _lapsed(rt: Runtime) -> list[RowMapping]:
    """Open rollouts that were driven once and are not any more.

    A planned one counts only when it is about to do something: whoever held its lease may have been about to refuse it, and
    without the deploy run's own driver nobody says that it was approved.
    """
    query = select(rollouts).where(rollouts.c.state.in_(OPEN_STATES), rollouts.c.lease_until < func.clock_timestamp())
    with transaction(rt.engine) as connection:
        rows = connection.execute(query).mappings().all()
    driven = [row for row in rows if row["state"] != State.PLANNED or row["status"].get("pending")]
    return [row for row in driven if not is_drill(row["model"])]


def _drive(rt: Runtime, row: RowMapping, hands: Hands) -> list[str]:
    """One look, then the lease is given up at once: the rollout's own driver may be back."""
    holder = f"reconcile:{os.getpid()}"
    outcome = drive_once(rt, row["id"], holder, hands=hands)
    with transaction(rt.engine) as connection:
        mine = (rollouts.c.id == row["id"]) & (rollouts.c.lease_holder == holder)
        connection.execute(rollouts.update().where(mine).values(lease_until=func.clock_timestamp()))
    return [f"driven after its lease lapsed; {outcome.state if outcome else 'goes on'}"]


def _forgotten(rt: Runtime, run_alive: RunAlive | None) -> list[RowMapping]:
    """Planned rollouts that nobody drives and whose run has ended, or must have: they would block the model."""
    idle = rollouts.c.lease_until.is_(None) | (rollouts.c.lease_until < func.clock_timestamp())
    waiting = (rollouts.c.state == State.PLANNED.value) & idle
    with transaction(rt.engine) as connection:
        found = connection.execute(select(rollouts).where(waiting)).mappings().all()
    rows = [row for row in found if not row["status"].get("pending") and not is_drill(row["model"])]
    patience = [(row, Plan.model_validate(row["plan"]).approval_timeout + _GRACE) for row in rows]
    ended = {row["id"] for row in rows if run_alive and row["run_id"] and not run_alive(row["model"], row["run_id"])}
    return [row for row, wait in patience if row["id"] in ended or datetime.now(UTC) - row["wall_at"] > wait]


def _give_up(rt: Runtime, row: RowMapping, hands: Hands) -> list[str]:
    outcome = close_rollout(
        rt,
        row["id"],
        f"reconcile:{os.getpid()}",
        _ABANDONED,
        hands=hands,
    )
    return [f"closed as {outcome.state}: {outcome.reason}"]
