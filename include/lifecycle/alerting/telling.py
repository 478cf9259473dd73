"""One look of the Dag `alerts`: changes become messages, messages are sent, what waits too long becomes an alert, pages written.

Pure of Airflow: how a parcel is sent is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from include.lifecycle.alerting.outbox import Parcel, claim, settle
from include.lifecycle.alerting.planning import plan_messages
from include.lifecycle.alerting.policy import Policies, policies_of
from include.lifecycle.alerting.stale import tell_stale
from include.lifecycle.alerting.timeline import unwritten, write_timelines
from include.lifecycle.database import transaction
from include.lifecycle.results import StageResult
from include.lifecycle.runtime import Runtime

Send = Callable[[Sequence[Parcel]], Sequence[str | None]]
"""Send parcels, each through its channel; per parcel None, or why it was not sent. Never raises, never takes much longer than the
longest of their timeouts."""

_ROUNDS = 20


class ToldAlerts(StageResult):
    """What one look did."""

    planned: int = 0
    escalated: int = 0
    sent: int = 0
    failed: int = 0
    pages: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


def tell_alerts(rt: Runtime, send: Send, *, policies: Policies | None = None, wall: datetime | None = None) -> ToldAlerts:
    """Plan and send. A message that cannot be sent is an error in the result, and tried again by a later look.

    Raises SourceUnavailableError when our database does not answer; what was sent until then may be sent once more.
    """
    of, errors = policies or policies_of(rt.settings), list[str]()
    planned = escalated = sent = 0
    for _ in range(_ROUNDS):  # a failed delivery is an alert, which is told at once by other channels
        now = wall or datetime.now(UTC)
        found = plan_messages(rt, of, now)
        parcels = claim(rt, of, now)
        outcomes = send(parcels) if parcels else []
        for parcel, error in zip(parcels, outcomes, strict=True):
            settle(rt, parcel, error, wall or datetime.now(UTC))
            if error is not None:
                errors.append(f"{parcel.channel}: {error}")
        planned, escalated = planned + found.messages, escalated + found.escalated
        sent += sum(error is None for error in outcomes)
        if not parcels:
            break
    tell_stale(rt, of, wall or datetime.now(UTC))  # last: what it raises can wait for the next look, a P0 for nothing
    with transaction(rt.engine) as connection:
        missing = unwritten(connection)
    pages = write_timelines(rt, missing)
    return ToldAlerts(
        planned=planned, escalated=escalated, sent=sent, failed=len(errors), pages=tuple(pages), errors=tuple(errors)
    )
