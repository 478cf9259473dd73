"""What waits too long for a person or a task, as alerts that end by themselves: held candidates, training requests, rollouts.

Facts are rows, so this is looked up anew each time: what waits is raised once, what does not wait any more is resolved.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection, Table, select

from include.lifecycle.alerting.kinds import ALERT_KINDS, WAITING
from include.lifecycle.alerting.policy import Policies, severity_of
from include.lifecycle.alerting.raising import AlertNotice, raise_alert, resolve_alert
from include.lifecycle.database import transaction
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import alerts, candidates, rollouts, training_requests
from include.lifecycle.units import format_duration

PREFIX = "waiting:"
_WAITING: tuple[tuple[Table, tuple[str, ...], str], ...] = (
    (candidates, ("open", "held"), "a version waits for its rollout"),
    (training_requests, ("open", "awaiting"), "a training request waits"),
    (rollouts, ("planned",), "a rollout waits for its approval"),
)


def tell_stale(rt: Runtime, policies: Policies, wall: datetime) -> None:
    """Raise what stands longer than `alerts.stale_after` at `wall`, once; resolve what does not stand any more."""
    with transaction(rt.engine) as connection:
        notices = {(one.model, one.key): one for one in _standing(connection, policies, wall)}
        known = select(alerts.c.model, alerts.c.key).where(alerts.c.key.startswith(PREFIX), alerts.c.state != "resolved")
        raised = {(row.model, row.key) for row in connection.execute(known)}
    for model, key in sorted(raised - notices.keys()):
        with transaction(rt.engine) as connection:
            resolve_alert(connection, rt, model, key, "it does not wait any more", actor="alerts")
    for place in sorted(notices.keys() - raised):
        with transaction(rt.engine) as connection:
            raise_alert(connection, rt, notices[place], actor="alerts")


def _standing(connection: Connection, policies: Policies, wall: datetime) -> Iterator[AlertNotice]:
    for table, states, words in _WAITING:
        query = select(table.c.id, table.c.model, table.c.state, table.c.wall_at).where(table.c.state.in_(states))
        for row in connection.execute(query):
            policy = policies(row.model)
            if wall - row.wall_at <= policy.stale_after:
                continue
            yield AlertNotice(
                model=row.model,
                kind=WAITING,
                severity=severity_of(policy, WAITING),
                key=f"{PREFIX}{table.name}:{row.id}",
                title=ALERT_KINDS[WAITING].title,
                reason=f"{words} since {row.wall_at:%Y-%m-%d %H:%M} UTC (it is {row.state}), longer than "
                f"{format_duration(policy.stale_after)}",
                runbook=ALERT_KINDS[WAITING].runbook,
                source=f"{row.model}/waiting",
                evidence={"row": row.id, "state": row.state, "table": table.name},
            )
