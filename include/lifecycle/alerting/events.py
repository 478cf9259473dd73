"""What decisions, rollouts, trainings, the watchdog and drills tell people: notices made of what they know, raised in their
transactions. Each has its own key, so that what ends it can be found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from include.lifecycle.alerting import kinds
from include.lifecycle.alerting.kinds import ALERT_KINDS
from include.lifecycle.alerting.policy import policies_of, severity_of
from include.lifecycle.alerting.raising import AlertNotice, raise_alert, resolve_alert
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import alerts

if TYPE_CHECKING:
    from include.lifecycle.rollout.states import Plan, Status

_SCRATCH = "_"  # names of models begin with a letter, those of drills do not
_ENDED_BADLY = {
    "rolled_back": kinds.ROLLOUT_BACK,
    "aborted": kinds.ROLLOUT_BACK,
    "held": kinds.ROLLOUT_HELD,
    "refused": kinds.ROLLOUT_REFUSED,
}


def tell_event(
    connection: Connection, rt: Runtime, kind: str, model: str, *, key: str, reason: str, actor: str, **evidence: Any
) -> int:
    """Raise an alert of one of ALERT_KINDS with the severity that the model's YAML gives the kind; return its id.

    `key` tells it from other ones of the kind and model. Belongs to the caller's transaction; takes the lock of the model's
    alerts.
    """
    about, policy = ALERT_KINDS[kind], policies_of(rt.settings)(model)
    notice = AlertNotice(
        model=model,
        kind=kind,
        severity=severity_of(policy, kind),
        key=f"{kind}:{key}",
        title=about.title,
        reason=reason,
        runbook=about.runbook,
        source=f"{model}/{_FAMILY.get(kind, kind)}",
        evidence=evidence,
    )
    return raise_alert(connection, rt, notice, actor=actor)


def end_event(connection: Connection, rt: Runtime, kind: str, model: str, *, key: str, reason: str, actor: str) -> int | None:
    """Resolve the alert that `tell_event` raised under this kind and key; None when none stands, and then no lock is taken."""
    mine = (alerts.c.model == model) & (alerts.c.key == f"{kind}:{key}") & (alerts.c.state != "resolved")
    if connection.execute(select(alerts.c.id).where(mine)).first() is None:
        return None
    return resolve_alert(connection, rt, model, f"{kind}:{key}", reason, actor=actor)


def tell_rollout(connection: Connection, rt: Runtime, rollout: int, plan: Plan, status: Status) -> None:
    """A rollout that waits for a person is an alert until it goes on; one that ended badly until a version is promoted.

    Drills and A/A tests alarm nobody. Belongs to the caller's transaction; may take the lock of the model's alerts.
    """
    if plan.model.startswith(_SCRATCH) or plan.strategy == "aa_test":
        return
    about: dict[str, Any] = {"actor": f"rollout:{rollout}"}
    state = status.state.value
    if status.held and status.state.is_open:
        told = f"version {plan.version} waits for a person: {status.reason}"
        tell_event(connection, rt, kinds.ROLLOUT_HELD, plan.model, key="open", reason=told, rollout=rollout, **about)
        return
    end_event(connection, rt, kinds.ROLLOUT_HELD, plan.model, key="open", reason=f"the rollout is {state}", **about)
    kind = _ENDED_BADLY.get(state)
    for other in sorted(set(_ENDED_BADLY.values()) - {kind}) if kind or state == "promoted" else ():
        end_event(connection, rt, other, plan.model, key="newest", reason=f"rollout {rollout} is {state}", **about)
    if kind is not None:
        told = f"version {plan.version} is {state.replace('_', ' ')}: {status.reason}"
        tell_event(connection, rt, kind, plan.model, key="newest", reason=told, rollout=rollout, version=plan.version, **about)


_FAMILY = {
    kinds.ROLLOUT_BACK: "rollout",
    kinds.ROLLOUT_HELD: "rollout",
    kinds.ROLLOUT_REFUSED: "rollout",
    kinds.TRAINING_FAILED: "training",
    kinds.QUESTION: "training",
}
