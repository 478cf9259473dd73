"""What `decide` finds out by itself before it decides: champions that grew old, slots of the schedule that nobody answered.

One look at the tables for all models (Survey): a thousand quiet models cost a few queries. Then per model, under its lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, func, select

from include.lifecycle.decisions.automation import stopped
from include.lifecycle.decisions.questions import models_with_questions
from include.lifecycle.decisions.raising import Fact, open_kinds, raise_fact, resolve
from include.lifecycle.decisions.schedule import missed_slot
from include.lifecycle.rollout.ways_back.freezing import frozen_reason
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import candidates, desired_traffic, ledger, training_requests
from include.lifecycle.training.permission import CONFIRM_ACT
from include.lifecycle.training.requests import SLOT, request_training
from include.lifecycle.units import format_duration

AGE = "age:champion"
ANSWERED = ("volume", "external")
"""Facts that any later training answers, whatever it was for: it has the new rows, and the reason is older than it."""


@dataclass(frozen=True)
class Champion:
    """The serving version and the event time of its registration."""

    version: int
    registered_at: datetime


@dataclass(frozen=True)
class Survey:
    """The tables at one moment, for all models.

    `requests`: wall times of the first and the newest training request. `in_hand`: see models_in_hand.
    """

    kinds: dict[str, set[str]]
    questions: set[str]
    champions: dict[str, Champion]
    requests: dict[str, tuple[datetime, datetime]]
    in_hand: set[str]
    now: datetime
    wall: datetime

    def concerns(self, spec: ModelSpec) -> bool:
        """Whether there is anything to decide about the model."""
        name = spec.name
        return name in self.kinds or name in self.questions or self.age(spec) is not None or self.missed(spec) is not None

    def age(self, spec: ModelSpec) -> timedelta | None:
        """The champion's age when it is above `max_age`; None when it is not, or is unknown."""
        champion = self.champions.get(spec.name)
        age = None if champion is None else self.now - champion.registered_at
        return age if age is not None and age > spec.retraining.max_age else None

    def missed(self, spec: ModelSpec) -> datetime | None:
        """The slot of the schedule that passed without a request; None while the model is in hand: its own run may yet come."""
        if spec.name in self.in_hand:
            return None
        first, newest = self.requests.get(spec.name, (None, None))
        return missed_slot(spec, first, newest, self.wall)


def survey(connection: Connection, rt: Runtime) -> Survey:
    """Look at everything once."""
    joined = desired_traffic.join(
        candidates, (candidates.c.model == desired_traffic.c.model) & (candidates.c.version == desired_traffic.c.champion)
    )
    serving = select(desired_traffic.c.model, desired_traffic.c.champion, candidates.c.created_at).select_from(joined)
    asked = training_requests.c
    times = select(asked.model, func.min(asked.wall_at), func.max(asked.wall_at)).group_by(asked.model)
    return Survey(
        kinds=open_kinds(connection),
        questions=models_with_questions(connection),
        champions={model: Champion(version, at) for model, version, at in connection.execute(serving)},
        requests={model: (first, newest) for model, first, newest in connection.execute(times)},
        in_hand=models_in_hand(connection),
        now=rt.clock.now(),
        wall=datetime.now(UTC),
    )


def models_in_hand(connection: Connection) -> set[str]:
    """Models that are being trained, and those whose schedule asked already and waits.

    A train Dag runs once at a time: while a training runs, Airflow holds back the slot's own run and starts it afterwards.
    """
    asked = training_requests.c
    waits = (asked.state == "open") & (asked.source == "schedule") & (asked.requested_by == "schedule")
    return set(connection.execute(select(asked.model).where(waits | (asked.state == "claimed")).distinct()).scalars())


def refresh_facts(seen: Survey, spec: ModelSpec, rt: Runtime, run: RunContext, connection: Connection) -> bool:
    """Raise or resolve the model's age signal, and ask for what the schedule missed; True when a training was requested.

    Runs under the model's lock; again, it changes nothing.
    """
    age = seen.age(spec)
    if age is not None:
        raise_fact(rt, connection, aged(seen, spec, age), actor=run.actor)
    elif "age" in seen.kinds.get(spec.name, ()):
        resolve(rt, connection, spec.name, ("age",), "the champion is young enough", actor=run.actor)
    if seen.kinds.get(spec.name, set()) & set(ANSWERED) and (trained := trained_at(connection, spec.name)) is not None:
        reason = f"the training of {trained:%Y-%m-%d %H:%M} UTC knew of it"
        resolve(rt, connection, spec.name, ANSWERED, reason, actor=run.actor, until=trained)
    slot = seen.missed(spec)
    if slot is None or stopped(connection, spec.name) or spec.name in models_in_hand(connection):
        return False
    if frozen_reason(connection, spec.name):
        return False
    why = "its Dag was paused, Airflow was down, another training held its run back, or the schedule was another one"
    request_training(
        rt,
        connection,
        model=spec.name,
        source="schedule",
        reason=f"no training was requested at or since the schedule's slot of {slot:%Y-%m-%d %H:%M} UTC: {why}",
        cause={"cause": "schedule", SLOT: slot.isoformat()},
        requested_by="schedule",
        requested_at=rt.clock.now(),
    )
    return True


def aged(seen: Survey, spec: ModelSpec, age: timedelta) -> Fact:
    """The age signal; its effect is the age as a multiple of `max_age`."""
    champion, allowed = seen.champions[spec.name], spec.retraining.max_age
    days = f"{age / timedelta(days=1):.1f}d"
    return Fact(
        model=spec.name,
        cause=AGE,
        effect=age / allowed,
        reason=f"version {champion.version} is {days} old; retraining.max_age is {format_duration(allowed)}",
        version=champion.version,
        evidence={"registered_at": champion.registered_at.isoformat()},
    )


def trained_at(connection: Connection, model: str) -> datetime | None:
    """Event time at which the model's newest training that made a version was confirmed."""
    rows = training_requests.c
    made = select(rows.run_id).where(rows.model == model, rows.state == "done", rows.version.is_not(None))
    confirmed = select(func.max(ledger.c.at)).where(ledger.c.model == model, ledger.c.kind == "training")
    at: datetime | None = connection.execute(confirmed.where(ledger.c.act == CONFIRM_ACT, ledger.c.run_id.in_(made))).scalar()
    return at
