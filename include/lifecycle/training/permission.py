"""May this model be trained now? Each rule answers with a Refusal, or with nothing.

Asked by requests.py inside the transaction that claims, under the model's lock. A person's `force` lifts freezes by calendar and
data fault, the off-peak window, a stop and the budget; never the kill switch, a security signal, an open rollout or a second
training.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, distinct, func, select

from include.lifecycle.decisions.automation import stopped
from include.lifecycle.decisions.calendar import frozen_until, parse_window
from include.lifecycle.rollout.states import OPEN_STATES
from include.lifecycle.rollout.ways_back.freezing import frozen_reason
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import ledger, rollouts, signals, training_requests

CONFIRM_ACT = "confirm training"
FORCED = "forced"  # key in a confirmation's evidence
LOOK_AGAIN = timedelta(hours=1)
"""A waiting request is looked at again after this at the latest: the YAML that makes it wait may have been edited."""


@dataclass(frozen=True)
class Refusal:
    """Why not now. `until`: event time before which it is of no use to look again; None when anything may change it."""

    reason: str
    until: datetime | None = None

    def look_again(self, now: datetime) -> datetime | None:
        """When the sweep should wake the request again; None: at its next round."""
        return None if self.until is None else min(self.until, now + LOOK_AGAIN)


def refusal(
    connection: Connection, spec: ModelSpec, run_id: str, now: datetime, *, sources: Collection[str], force: bool
) -> Refusal | None:
    """The first rule against training `spec` in run `run_id` at event time `now`, or None.

    `sources`: where the requests come from that the run would take; a person among them lifts stop and off-peak window.
    """
    found = _never(connection, spec, run_id)
    if found is not None or force:
        return found
    return next(_cautions(connection, spec, run_id, now, set(sources)), None)


def month_of(moment: datetime) -> tuple[datetime, datetime]:
    """[start, end) of the calendar month that holds `moment`."""
    start = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return start, start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)


def trainings_in_month(connection: Connection, model: str, now: datetime, *, besides: str = "") -> int:
    """Trainings confirmed in the calendar month of event time `now`, forced ones left out, run `besides` not counted."""
    start, end = month_of(now)
    query = select(func.count(distinct(ledger.c.run_id))).where(
        ledger.c.model == model,
        ledger.c.kind == "training",
        ledger.c.act == CONFIRM_ACT,
        ledger.c.at >= start,
        ledger.c.at < end,
        ledger.c.run_id != besides,
        ledger.c.evidence[FORCED].as_boolean().is_not(True),
    )
    return int(connection.execute(query).scalar_one())


def _never(connection: Connection, spec: ModelSpec, run_id: str) -> Refusal | None:
    reasons = (
        frozen_reason(connection, spec.name),
        _other_training(connection, spec.name, run_id),
        _open_rollout(connection, spec.name),
        _freezing_signal(connection, spec.name, "security"),
    )
    return next((Refusal(reason) for reason in reasons if reason), None)


def _cautions(connection: Connection, spec: ModelSpec, run_id: str, now: datetime, sources: set[str]) -> Iterator[Refusal]:
    if reason := _freezing_signal(connection, spec.name, "data_fault"):
        yield Refusal(reason)
    if reason := _budget_spent(connection, spec, run_id, now):
        yield Refusal(reason)
    if (frozen := frozen_until(spec.retraining.freeze, now)) is not None:
        yield Refusal(f"training is frozen by {frozen[0]} until {frozen[1]:%Y-%m-%d %H:%M} UTC (retraining.freeze)", frozen[1])
    if "manual" in sources:
        return
    if reason := stopped(connection, spec.name):
        yield Refusal(reason, now + LOOK_AGAIN)
    if "schedule" not in sources and (opens := _window_opens(spec, now)) is not None:
        window = spec.retraining.window
        yield Refusal(f"waits for the daily window {window}, until {opens:%Y-%m-%d %H:%M} UTC (retraining.window)", opens)


def _window_opens(spec: ModelSpec, now: datetime) -> datetime | None:
    """When the off-peak window opens; None while it is open, or when there is none."""
    opens = parse_window(spec.retraining.window).opens(now) if spec.retraining.window else now
    return None if opens == now else opens


def _other_training(connection: Connection, model: str, run_id: str) -> str | None:
    mine = training_requests.c
    query = select(mine.id, mine.run_id).where(mine.model == model, mine.state == "claimed", mine.run_id != run_id).limit(1)
    row = connection.execute(query).first()
    return None if row is None else f"run {row.run_id} is training it already (request {row.id})"


def _open_rollout(connection: Connection, model: str) -> str | None:
    query = select(rollouts.c.id, rollouts.c.version, rollouts.c.state).where(
        rollouts.c.model == model, rollouts.c.state.in_(OPEN_STATES)
    )
    row = connection.execute(query).first()
    return (
        None if row is None else f"rollout {row.id} of version {row.version} is {row.state}; a training waits until it is closed"
    )


def _freezing_signal(connection: Connection, model: str, kind: str) -> str | None:
    query = select(signals.c.id, signals.c.cause).where(
        signals.c.model == model, signals.c.state == "open", signals.c.kind == kind
    )
    row = connection.execute(query.order_by(signals.c.id).limit(1)).first()
    return None if row is None else f"training is frozen by the open {kind} signal {row.id} ({row.cause})"


def _budget_spent(connection: Connection, spec: ModelSpec, run_id: str, now: datetime) -> str | None:
    allowed = spec.retraining.budget_per_month
    spent = trainings_in_month(connection, spec.name, now, besides=run_id)
    if spent < allowed:
        return None
    return f"{spent} trainings in {now:%Y-%m} spend the budget, retraining.budget_per_month is {allowed}"
