"""Other thresholds over the stored past: when they would have fired, retrained and rolled back, beside what did happen.

The same signals and the same policy as in life (book.py), fed with stored verdicts that are judged again (thresholds.py). What a
training would have given nobody knows: the versions that served did serve, and a training is neither fruitless nor promoted.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from include.lifecycle.decisions.blocking import cooldown_until
from include.lifecycle.decisions.calendar import next_start
from include.lifecycle.decisions.schedule import cron_of
from include.lifecycle.monitoring.signals import standings
from include.lifecycle.monitoring.windows import Window, look_back
from include.lifecycle.runtime import Runtime
from include.lifecycle.simulation.book import Book
from include.lifecycle.simulation.events import Event
from include.lifecycle.simulation.record import Record, RolloutLook, Stored, read_record
from include.lifecycle.simulation.thresholds import changed_keys, refuse_unreplayable, rejudge
from include.lifecycle.spec import ModelSpec

WORDS = {"alarm": "fired", "question": "asked", "training": "retrained", "refusal": "refused", "rollback": "rolled back"}
"""What each kind of event is called in the answer; others are not told."""
_MEASURED, _ASKED, _SLOT, _LOOK = range(4)


@dataclass(frozen=True)
class ThresholdReplay:
    """The answer: what happened, what the present settings give on the stored windows, and what the proposed ones give."""

    record: Record
    changes: dict[str, tuple[Any, Any]]
    as_set: Sequence[Event]
    proposed: Sequence[Event]

    @property
    def courses(self) -> dict[str, Sequence[Event]]:
        """The three columns by name."""
        return {"happened": self.record.happened, "as_set": self.as_set, "proposed": self.proposed}

    def plain(self) -> dict[str, Any]:
        """JSON-plain; `days` holds every day on which anything happened in any of the three courses."""
        record = self.record
        told = {name: _by_day(events) for name, events in self.courses.items()}
        days = sorted({day for one in told.values() for day in one})
        return {
            "model": record.model,
            "since": record.since.isoformat(),
            "until": record.until.isoformat(),
            "windows": sum(record.since <= one.known_at for one in record.windows),
            "changes": {key: {"from": old, "to": new} for key, (old, new) in self.changes.items()},
            "totals": {name: _totals(events) for name, events in self.courses.items()},
            "days": [{"day": day} | {name: one.get(day, []) for name, one in told.items()} for day in days],
        }


def replay_thresholds(
    spec: ModelSpec, proposed: ModelSpec, rt: Runtime, since: datetime | None = None, until: datetime | None = None
) -> ThresholdReplay:
    """Replay the windows measured in event time [since, until) by both specs; reads only.

    Raises:
        SpecInvalidError: a changed key that stored windows cannot answer for; the message names each, and why.
        DataInvalidError: no window is stored there.
        SourceUnavailableError: the database did not answer.
    """
    changes = changed_keys(spec, proposed)
    refuse_unreplayable(changes)
    record = read_record(spec, rt, since, until)
    new_schedule = "retraining.schedule" in changes
    as_set = Course(spec, record).events()
    return ThresholdReplay(record, changes, as_set, Course(proposed, record, own_schedule=new_schedule).events())


@dataclass
class Course:
    """One spec over one record. `own_schedule`: its cron trains, in place of what the schedule asked for in fact."""

    spec: ModelSpec
    record: Record
    own_schedule: bool = False
    _told: list[Event] = field(default_factory=list)
    _known: dict[tuple[Window, int], Stored] = field(default_factory=dict)
    _queue: list[tuple[datetime, int, int, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """No signal is open before the first window."""
        self._book = Book(self.spec)

    def events(self) -> list[Event]:
        """All events from `since` on, oldest first; to be asked once."""
        self._queue += [(moment, kind, number, what) for number, (moment, kind, what) in enumerate(self._agenda())]
        heapq.heapify(self._queue)
        self._next = len(self._queue)
        while self._queue:
            moment, kind, _, what = heapq.heappop(self._queue)
            self._step(moment, kind, what)
        self._told += rollbacks(self.record.looks, self.spec.rollout.limits.performance_drop)
        self._told += [one for one in self.record.happened if one.kind == "rollback" and one.subject != "roll_back"]
        return sorted((one for one in self._told if one.at >= self.record.since), key=lambda one: one.at)

    def _agenda(self) -> Iterator[tuple[datetime, int, Any]]:
        by_moment: dict[datetime, list[Stored]] = {}
        for stored in self.record.windows:
            by_moment.setdefault(stored.known_at, []).append(self._rejudged(stored))
        for moment, several in by_moment.items():
            yield moment, _MEASURED, several
        for source, moment in self.record.asked:
            if not (self.own_schedule and source == "schedule"):
                yield moment, _ASKED, source
        for slot in self._slots():
            yield slot, _SLOT, "schedule"

    def _rejudged(self, stored: Stored) -> Stored:
        verdicts = [rejudge(verdict, self.spec) for verdict in stored.verdicts]
        return Stored(stored.window, stored.version, stored.rows, stored.known_at, verdicts)

    def _step(self, now: datetime, kind: int, what: Any) -> None:
        if kind == _MEASURED:
            self._known |= {(one.window, one.version): one for one in what}
            self._measure(now)
        if kind in (_MEASURED, _LOOK):
            self._decide(now)
        elif kind == _ASKED or (reason := self._book.refusal(now)) is None:
            self._book.requests.append(now)
            self._book.trainings.append(now)
            self._told.append(Event(now, "training", str(what), f"asked for by {what}"))
        else:
            self._told.append(Event(now, "refusal", str(what), reason))

    def _measure(self, now: datetime) -> None:
        champion = self.record.champion(now, list(self._known.values()))
        mine = sorted((one for one in self._known.values() if one.version == champion), key=lambda one: one.window)
        seen = mine[-look_back(self.spec.monitoring.window, self.spec.labels.mature_after) :]
        history = [(one.window, one.verdicts) for one in seen]
        changes = self._book.refresh(champion, standings(history, self.spec.retraining.confirm))
        if (made := self.record.registered.get(champion)) is not None and made <= now:
            changes += self._book.look_at_age(champion, now - made)
        self._told += [Event(now, "alarm", cause, reason, champion) for change, cause, reason in changes if change == "opened"]

    def _decide(self, now: datetime) -> None:
        if not self._known:
            return
        champion = self.record.champion(now, list(self._known.values()))
        answer = self._book.decide(champion, now)
        if answer is None:
            return
        decision = answer.decision
        if answer.changed and decision.act in ("suggest", "approve"):
            self._told.append(Event(now, "question", decision.act, decision.reason, champion))
        if answer.cause is not None:
            rules = self.spec.retraining
            begins = next_start(rules.window, rules.freeze, now)
            self._book.trainings.append(begins)
            self._told.append(Event(begins, "training", answer.cause, decision.reason, champion))
        self._look_again(now, champion, decision.evidence["rules_named"])

    def _look_again(self, now: datetime, champion: int, rules: Sequence[str]) -> None:
        """In life `decide` looks every few minutes; here again when the cooldown is over."""
        until = cooldown_until(self._book.state(champion, now), self.spec)
        if "cooldown" in rules and until is not None and now < until < self.record.until:
            heapq.heappush(self._queue, (until, _LOOK, self._next, None))
            self._next += 1

    def _slots(self) -> Iterator[datetime]:
        cron = cron_of(self.spec) if self.own_schedule else None
        if cron is None:
            return
        from croniter import croniter

        slots = croniter(cron, self.record.since)
        while (slot := slots.get_next(datetime)) < self.record.until:
            yield slot


def rollbacks(looks: Sequence[RolloutLook], limit: float) -> list[Event]:
    """When each rollout would have been rolled back with this limit of lost skill; other reasons stand as they did."""
    found: dict[int, Event] = {}
    for look in looks:
        if look.rollout in found:
            continue
        others = [name for name in look.failed if name != "performance"]
        if look.drop_lower is not None and look.drop_lower > limit:
            reason = f"skill lost at least {look.drop_lower:.1%}; limit {limit:.0%}"
        elif look.act == "roll_back" and (others or look.drop_lower is None):
            reason = f"{', '.join(others) or 'as it did'}"
        else:
            continue
        found[look.rollout] = Event(look.at, "rollback", f"rollout {look.rollout}", reason, look.version)
    return list(found.values())


def _by_day(events: Sequence[Event]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for event in events:
        if event.kind in WORDS:
            found.setdefault(f"{event.at:%Y-%m-%d}", []).append(f"{WORDS[event.kind]} {event.subject}")
    return found


def _totals(events: Sequence[Event]) -> dict[str, int]:
    counted = Counter[str](event.kind for event in events)
    return {word.replace(" ", "_"): counted[kind] for kind, word in WORDS.items()}
