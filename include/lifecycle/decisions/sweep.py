"""What waits although somebody should have come: open rows whose wake-up event was lost. Upkeep wakes their owners again."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, Table, select

from include.lifecycle.database import transaction
from include.lifecycle.results import StageResult
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import candidates, signals, training_requests


class Unclaimed(StageResult):
    """Models with open training requests, with open candidates, and with open signals, each sorted."""

    training: list[str]
    candidates: list[str]
    signals: list[str]


def unclaimed(rt: Runtime) -> Unclaimed:
    """Find what nobody took. A row that somebody is about to take may be among it: waking twice does no harm.

    A request that a freeze or the daily window keeps waiting is left out until then (an hour at most). Open signals are all
    named, also decided ones: a refusal holds only until its reason is gone.
    """
    due = training_requests.c.not_before
    with transaction(rt.engine) as connection:
        return Unclaimed(
            training=_models(connection, training_requests, due.is_(None) | (due <= rt.clock.now())),
            candidates=_models(connection, candidates),
            signals=_models(connection, signals),
        )


def _models(connection: Connection, table: Table, *conditions: ColumnElement[bool]) -> list[str]:
    query = select(table.c.model).where(table.c.state == "open", *conditions).distinct().order_by(table.c.model)
    return list(connection.execute(query).scalars())
