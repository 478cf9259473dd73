"""What a look sees beside the traffic: a person's wish, a newer candidate, a freeze, the watchdog, and slower evidence."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from include.lifecycle.database import transaction
from include.lifecycle.rollout.evidence import Command
from include.lifecycle.rollout.hands import Hands
from include.lifecycle.rollout.lease import rollout_row
from include.lifecycle.rollout.states import Plan, State, Status
from include.lifecycle.rollout.watchdog.journal import watchdog_act
from include.lifecycle.rollout.ways_back.freezing import frozen_reason
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import candidates, rollouts


def circumstances(rt: Runtime, plan: Plan, rollout_id: int) -> dict[str, Any]:
    """The fields `command`, `newer`, `frozen` and `watchdog` of a Measurement, as they are now."""
    with transaction(rt.engine) as connection:
        wish = asked_of(rollout_row(connection, rollout_id))
        frozen = frozen_reason(connection, plan.model)
        newer = newer_candidate(connection, plan)
    return {
        "command": wish,
        "newer": newer,
        "frozen": frozen,
        "watchdog": watchdog_act(rt.settings, plan.model, rollout_id),
    }


def asked_of(row: RowMapping) -> Command | None:
    """What a person asked of this rollout and its driver has not taken up yet."""
    return None if row["command"] is None else Command.model_validate(row["command"])


def settle(connection: Connection, rollout_id: int, wish: Command) -> bool:
    """Take the wish out of the row; False when another one stands there by now, which is kept."""
    same = (rollouts.c.id == rollout_id) & (rollouts.c.command == wish.model_dump(mode="json"))
    return connection.execute(rollouts.update().where(same).values(command=None)).rowcount == 1


def evidence_of(rt: Runtime, hands: Hands, rollout_id: int, plan: Plan, status: Status) -> dict[str, Any]:
    """The fields `pairs` and `experiment` of a Measurement, as far as the present stage asks for them."""
    stage = plan.stage_at(status.step) if status.state is State.RUNNING else None
    if stage is None:
        return {}
    found: dict[str, Any] = {}
    if "agreement" in stage.must_pass and hands.pairs is not None:
        found["pairs"] = hands.pairs(rt, rollout_id, plan, status)
    if stage.kind == "ab_test" and hands.experiment is not None:
        found["experiment"] = hands.experiment(rt, rollout_id, plan, status)
    return found


def newer_candidate(connection: Connection, plan: Plan) -> int | None:
    """The newest open candidate above the plan's version."""
    table = candidates.c
    mine = (table.model == plan.model) & (table.state == "open") & (table.version > plan.version)
    found = connection.execute(select(func.max(table.version)).where(mine)).scalar_one()
    return None if found is None else int(found)
