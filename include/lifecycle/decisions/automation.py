"""The off-switch at run time: a person stops a model's unattended training, and starts it again. A row, and a ledger entry.

`retraining.mode` in YAML is the declared state; this comes on top of it. Stopped means that neither signals nor the schedule
train; a person still may. Honoured by the policy and by confirm_training, shown by should-retrain and explain.
"""

from __future__ import annotations

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.errors import LifecycleError
from include.lifecycle.ledger import Entry
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import automation

RUNNING, STOPPED = "running", "stopped"


def set_automation(rt: Runtime, model: str, *, running: bool, reason: str, by: str) -> bool:
    """Start or stop the model's unattended training; True when that changed anything (else nothing is written).

    Raises:
        LifecycleError: `reason` is empty: whoever finds it stopped must be able to tell why.
        SourceUnavailableError: the database did not answer.
    """
    if not reason.strip():
        raise LifecycleError(f"model {model}: a reason is asked for; it stands in the ledger")
    state = RUNNING if running else STOPPED
    with transaction(rt.engine) as connection:
        lock_model(connection, model)
        was = connection.execute(select(automation.c.state).where(automation.c.model == model)).scalar() or RUNNING
        if was == state:
            return False
        values = {"state": state, "reason": reason, "by": by, "at": rt.clock.now()}
        connection.execute(
            insert(automation).values(model=model, **values).on_conflict_do_update(index_elements=["model"], set_=values)
        )
        act = f"{'start' if running else 'stop'} unattended training"
        rt.ledger.write(Entry(model=model, kind="decision", act=act, reason=reason, actor=by), connection)
    return True


def stopped(connection: Connection, model: str) -> str | None:
    """Who stopped the model's unattended training, when and why, in one sentence; None while it runs."""
    row = connection.execute(select(automation).where(automation.c.model == model, automation.c.state == STOPPED)).first()
    return None if row is None else f"unattended training was stopped by {row.by} on {row.at:%Y-%m-%d %H:%M} UTC: {row.reason}"
