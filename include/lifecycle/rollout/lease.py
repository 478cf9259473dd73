"""Who may drive a rollout: a lease in its row, by wall time. A takeover raises the epoch, every write checks holder and epoch.

A driver that was away too long finds its epoch gone and stops without acting (LeaseLostError).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from include.lifecycle.database import transaction
from include.lifecycle.errors import LeaseLostError, LifecycleError
from include.lifecycle.rollout.states import OPEN_STATES, Plan, State
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import rollouts


@dataclass(frozen=True)
class Lease:
    """The right to act on one rollout, until another epoch begins."""

    rollout_id: int
    holder: str
    epoch: int

    def check(self, connection: Connection) -> None:
        """Raise LeaseLostError when the lease is gone; the row stays locked against a takeover until the transaction ends."""
        held = select(rollouts.c.id).where(self._mine()).with_for_update(read=True)
        if connection.execute(held).first() is None:
            raise LeaseLostError(f"rollout {self.rollout_id}: {self.holder} lost its lease (epoch {self.epoch})")

    def save(self, connection: Connection, **values: Any) -> None:
        """Update the rollout's row; LeaseLostError when the lease is gone."""
        if connection.execute(rollouts.update().where(self._mine()).values(**values)).rowcount != 1:
            raise LeaseLostError(f"rollout {self.rollout_id}: {self.holder} lost its lease (epoch {self.epoch})")

    def _mine(self) -> Any:
        row = rollouts.c
        return (row.id == self.rollout_id) & (row.lease_holder == self.holder) & (row.epoch == self.epoch)


def take_lease(rt: Runtime, rollout_id: int, holder: str, *, force: bool = False) -> tuple[RowMapping, Lease | None]:
    """Renew or take the lease and return the row with it; the lease is None when the rollout is closed.

    Raises LeaseLostError when somebody else holds it and it has not lapsed; `force` takes it all the same (a person's rollback).
    """
    with transaction(rt.engine) as connection:
        row = rollout_row(connection, rollout_id, lock=True)
        if not State(row["state"]).is_open:
            return row, None
        now = connection.execute(select(func.clock_timestamp())).scalar_one()
        mine = row["lease_holder"] == holder
        if not (mine or force or row["lease_until"] is None or row["lease_until"] < now):
            raise LeaseLostError(f"rollout {rollout_id} is held by {row['lease_holder']} until {row['lease_until']}")
        epoch = row["epoch"] if mine else row["epoch"] + 1
        lease_for: timedelta = Plan.model_validate(row["plan"]).lease
        lease = {"lease_holder": holder, "lease_until": now + lease_for, "epoch": epoch}
        connection.execute(rollouts.update().where(rollouts.c.id == rollout_id).values(**lease))
        return row, Lease(rollout_id, holder, epoch)


def rollout_row(connection: Connection, rollout_id: int, *, lock: bool = False) -> RowMapping:
    """The rollout's row; LifecycleError when there is none."""
    query = select(rollouts).where(rollouts.c.id == rollout_id)
    row = connection.execute(query.with_for_update() if lock else query).mappings().first()
    if row is None:
        raise LifecycleError(f"there is no rollout {rollout_id}")
    return row


def open_rollout(connection: Connection, model: str) -> RowMapping | None:
    """The model's open rollout; there is never more than one."""
    query = select(rollouts).where(rollouts.c.model == model, rollouts.c.state.in_(OPEN_STATES))
    return connection.execute(query).mappings().first()
