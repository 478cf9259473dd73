"""What a look sees beside the traffic: a person's wish, a newer candidate, a freeze, the watchdog, and slower evidence."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select

from include.lifecycle.database import transaction
from include.lifecycle.rollout.evidence import Command
from include.lifecycle.rollout.freezing import frozen_reason
from include.lifecycle.rollout.hands import Hands
from include.lifecycle.rollout.states import Plan, State, Status
from include.lifecycle.rollout.watchdog_journal import watchdog_act
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import candidates, rollouts


def circumstances(rt: Runtime, plan: Plan, rollout_id: int) -> dict[str, Any]:
    """The fields `command`, `newer`, `frozen` and `watchdog` of a Measurement, as they are now."""
    with transaction(rt.engine) as connection:
        raw = connection.execute(select(rollouts.c.command).where(rollouts.c.id == rollout_id)).scalar_one()
        frozen = frozen_reason(connection, plan.model)
        newer = _newer(connection, plan)
    return {
        "command": None if raw is None else Command.model_validate(raw),
        "newer": newer,
        "frozen": frozen,
        "watchdog": watchdog_act(rt.settings, plan.model, rollout_id),
    }


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


def _newer(connection: Connection, plan: Plan) -> int | None:
    """The newest open candidate above the plan's version."""
    table = candidates.c
    mine = (table.model == plan.model) & (table.state == "open") & (table.version > plan.version)
    found = connection.execute(select(func.max(table.version)).where(mine)).scalar_one()
    return None if found is None else int(found)
