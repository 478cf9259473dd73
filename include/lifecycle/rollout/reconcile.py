"""Puts right what fell between two drivers: rollouts nobody drives, rollbacks nobody finished, what drills and the watchdog left.

Called every few minutes by the upkeep Dag; what concerns one model stands in reconcile_model.py. It only follows rows: what
somebody changed by hand is undone and reported.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4

from sqlalchemy import RowMapping, func, select

from include.lifecycle.database import transaction
from include.lifecycle.errors import LifecycleError
from include.lifecycle.rollout.drills.traces import is_drill, sweep_drills
from include.lifecycle.rollout.driver import close_rollout, drive_once
from include.lifecycle.rollout.gateway.envoy_admin import EnvoyAdmin
from include.lifecycle.rollout.hands import Hands, usual_hands
from include.lifecycle.rollout.reconcile_model import ModelUpkeep
from include.lifecycle.rollout.states import OPEN_STATES, Plan, State
from include.lifecycle.rollout.watchdog.to_ledger import import_journal, silence
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import rollouts

log = logging.getLogger(__name__)
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
    for row in _undriven(rt):
        said += _trying(f"rollout {row['id']}", partial(_give_up, rt, row, used, run_alive))
    for model in sorted(specs):
        one = ModelUpkeep(rt, used, model)
        for act in (one.rollbacks, one.aliases, one.watchdog, one.servers, one.traffic, one.orphans):
            said += _trying(model, act)
    return said + _trying("gateway", partial(_rotate, rt))


def _rotate(rt: Runtime) -> list[str]:
    """Rename a large access log and keep one old one: readers follow the file by its inode.

    A file that was renamed before, and not opened anew (a kill, a gateway that was down), is opened now.
    """
    written = rt.settings.gateway_log
    old = written.with_name(f"{written.name}.1")
    if not written.exists():
        return _reopened(rt, "access log was renamed but not opened anew; done now") if old.exists() else []
    if written.stat().st_size < rt.settings.upkeep.log_bytes:
        return []
    written.replace(old)
    return _reopened(rt, "access log rotated")


def _reopened(rt: Runtime, told: str) -> list[str]:
    EnvoyAdmin(rt.settings.gateway_admin_url).reopen_logs()
    return [told]


def _trying(what: str, act: Callable[[], Iterable[str]]) -> list[str]:
    """What an act says, whatever becomes of it: one row that nobody can read must not stop what others need."""
    said: list[str] = []
    try:
        said.extend(f"{what}: {sentence}" for sentence in act())
    except LifecycleError as problem:
        said.append(f"{what}: not now, {problem}")
    except Exception as problem:
        log.exception("%s: upkeep failed", what)
        first, *_ = f"{type(problem).__name__}: {problem}".splitlines()
        said.append(f"{what}: not now, {first}")
    return said


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
    holder = _holder()
    outcome = drive_once(rt, row["id"], holder, hands=hands)
    with transaction(rt.engine) as connection:
        mine = (rollouts.c.id == row["id"]) & (rollouts.c.lease_holder == holder)
        connection.execute(rollouts.update().where(mine).values(lease_until=func.clock_timestamp()))
    return [f"driven after its lease lapsed; {outcome.state if outcome else 'goes on'}"]


def _undriven(rt: Runtime) -> list[RowMapping]:
    """Planned rollouts that nobody drives."""
    idle = rollouts.c.lease_until.is_(None) | (rollouts.c.lease_until < func.clock_timestamp())
    waiting = (rollouts.c.state == State.PLANNED.value) & idle
    with transaction(rt.engine) as connection:
        found = connection.execute(select(rollouts).where(waiting)).mappings().all()
    return [row for row in found if not row["status"].get("pending") and not is_drill(row["model"])]


def _give_up(rt: Runtime, row: RowMapping, hands: Hands, run_alive: RunAlive | None) -> list[str]:
    """Close a rollout whose run has ended, or must have: it would block the model."""
    ended = run_alive is not None and row["run_id"] and not run_alive(row["model"], row["run_id"])
    if not ended and datetime.now(UTC) - row["wall_at"] <= Plan.model_validate(row["plan"]).approval_timeout + _GRACE:
        return []
    outcome = close_rollout(rt, row["id"], _holder(), _ABANDONED, hands=hands)
    return [f"closed as {outcome.state}: {outcome.reason}"]


def _holder() -> str:
    """A name that no other driver has, nor another call of this process."""
    return f"reconcile:{os.getpid()}:{uuid4().hex[:8]}"
