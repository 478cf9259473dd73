"""The replay: event by event through the model's own monitoring, decision, training and gates; and the two simple rivals.

A window is measured once, when its labels are mature. A version that the gates let pass is promoted at once: there is no canary
to ask, and no person. Trainings by data volume are left out.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from include.lifecycle.decisions.calendar import next_start
from include.lifecycle.decisions.schedule import cron_of
from include.lifecycle.errors import LifecycleError
from include.lifecycle.monitoring.measure import measure_window
from include.lifecycle.monitoring.signals import standings
from include.lifecycle.monitoring.windows import Window, finished_windows, look_back
from include.lifecycle.simulation.book import Book
from include.lifecycle.simulation.events import Event, Kind
from include.lifecycle.simulation.history import Floats, History
from include.lifecycle.simulation.trainer import Trainer, Version
from include.lifecycle.verdicts import Verdict

_MONITOR, _SCHEDULE, _TRAIN = 0, 1, 2


@dataclass
class Course:
    """How one strategy went: which version answered from when on, what happened, what it cost. `reigns` begins with version 1."""

    name: str
    reigns: list[tuple[datetime, Version]]
    events: list[Event] = field(default_factory=list)
    trainings: int = 0
    cpu_seconds: float = 0.0

    @property
    def champion(self) -> Version:
        """The version that answers last."""
        return self.reigns[-1][1]

    def promote(self, version: Version) -> None:
        """From `version.at` on it answers."""
        self.reigns.append((version.at, version))

    def spans(self, window: Window) -> Iterator[tuple[Version, datetime, datetime]]:
        """Which version answers which part of the window."""
        for place, (since, version) in enumerate(self.reigns):
            until = self.reigns[place + 1][0] if place + 1 < len(self.reigns) else window.end
            start, end = (window.start if place == 0 else max(since, window.start)), min(until, window.end)
            if start < end:
                yield version, start, end


@dataclass
class Replay:
    """One model from `start` to `end`; `schedule`: whether its cron trains as well."""

    history: History
    trainer: Trainer
    start: datetime
    end: datetime
    schedule: bool = True

    def windows(self) -> list[Window]:
        """Whole monitoring windows inside [start, end]."""
        length = self.history.spec.monitoring.window
        count = int((self.end - self.start) / length) + 2
        return [window for window in finished_windows(self.end, length, count) if window.start >= self.start]

    def first(self) -> Version:
        """The version that all strategies begin with: a training at `start`. LifecycleError when it cannot be had."""
        return Version(1, self.trainer.train(self.start), self.start)

    def never(self, first: Version) -> Course:
        """No retraining."""
        return Course("never", [(self.start, first)])

    def always(self, first: Version, every: timedelta) -> Course:
        """A retraining every `every`, promoted without any question."""
        course, moment = Course("always", [(self.start, first)]), self.start + every
        while moment < self.end:
            self._train(course, moment, {}, "by the clock", judged=False)
            moment += every
        return course

    def policy(self, first: Version) -> Course:
        """What the model's own YAML would have done."""
        course, book = Course("policy", [(self.start, first)]), Book(self.history.spec)
        measured: dict[int, list[tuple[Window, list[Verdict]]]] = {}
        queue: list[tuple[datetime, int, int, Any]] = []
        mature = self.history.spec.labels.mature_after
        agenda: list[tuple[datetime, int, Any]] = [(window.end + mature, _MONITOR, window) for window in self.windows()]
        agenda += [(slot, _SCHEDULE, None) for slot in (self._slots() if self.schedule else [])]
        for number, (moment, kind, what) in enumerate(agenda):
            heapq.heappush(queue, (moment, kind, number, what))
        while queue:
            moment, kind, number, what = heapq.heappop(queue)
            if kind == _MONITOR:
                self._monitor(course, book, measured, what, moment)
                cause = self._decide(course, book, moment)
                if cause is not None:
                    begins = next_start(self.history.spec.retraining.window, self.history.spec.retraining.freeze, moment)
                    heapq.heappush(queue, (begins, _TRAIN, len(agenda) + number, cause))
            elif kind == _TRAIN:
                book.trainings.append(moment)
                promoted = self._train(course, moment, {"cause": what}, what)
                book.ended(promoted=promoted, for_signal=True)
            elif reason := book.refusal(moment):
                course.events.append(Event(moment, "refusal", "schedule", reason))
            else:
                book.requests.append(moment)
                book.trainings.append(moment)
                book.ended(promoted=self._train(course, moment, {}, "schedule"), for_signal=False)
        return course

    def scores(self, course: Course, window: Window) -> tuple[Floats, Floats]:
        """Labels and predictions (n,) of the window's rows, each by the version that answered."""
        from include.lifecycle.data.targets import labels_of

        spec, labels, predicted = self.history.spec, [np.empty(0)], [np.empty(0)]
        for version, start, end in course.spans(window):
            rows = self.history.rows(start, end)
            if len(rows):
                labels.append(labels_of(spec, rows).astype(np.float64))
                predicted.append(version.trained.predict(spec, rows))
        return np.concatenate(labels), np.concatenate(predicted)

    def _monitor(
        self, course: Course, book: Book, measured: dict[int, list[tuple[Window, list[Verdict]]]], window: Window, now: datetime
    ) -> None:
        """Measure what the champion answered in the window, and bring the signals up to it."""
        spec, champion = self.history.spec, course.champion
        for version, start, end in course.spans(window):
            rows = self.history.rows(start, end)
            if version.number != champion.number or rows.empty:
                continue
            seen, labelled = self.history.window(version.number, window, rows, version.trained.predict(spec, rows))
            row = measure_window(spec, version.trained.profile, seen, labelled, now=now, notes=[])
            verdicts = [Verdict.model_validate(plain) for plain in row["verdicts"]]
            measured.setdefault(version.number, []).append((window, verdicts))
        seen_windows = measured.get(champion.number, [])[-look_back(spec.monitoring.window, spec.labels.mature_after) :]
        changes = book.refresh(champion.number, standings(seen_windows, spec.retraining.confirm))
        changes += book.look_at_age(champion.number, now - champion.at)
        for change, cause, reason in changes:
            kind: Kind = "alarm" if change == "opened" else "resolved"
            course.events.append(Event(now, kind, cause, reason, champion.number))

    def _decide(self, course: Course, book: Book, now: datetime) -> str | None:
        """The policy's answer; the cause of a training that it wants."""
        answer = book.decide(course.champion.number, now)
        if answer is None:
            return None
        if answer.changed:  # as the ledger: a decision is noted when it changes
            course.events.append(Event(now, "decision", answer.decision.act, answer.decision.reason, course.champion.number))
        return answer.cause

    def _train(self, course: Course, now: datetime, cause: dict[str, Any], why: str, *, judged: bool = True) -> bool:
        """Train at `now`; whether a version was promoted. A training that fails leaves the champion where it is."""
        try:
            trained = self.trainer.train(now)
        except LifecycleError as problem:
            course.events.append(Event(now, "failure", why, str(problem)))
            return False
        course.trainings += 1
        course.cpu_seconds += trained.cpu_seconds
        deployable, reason = True, "not asked"
        if judged:
            _, decision = self.trainer.judge(trained, course.champion, cause)
            deployable, reason = decision.deployable, decision.reason
        number = 1 + course.trainings
        course.events.append(Event(now, "training", why, f"{trained.algorithm}; {reason}", number))
        if deployable:
            course.promote(Version(number, trained, now))
            course.events.append(Event(now, "promotion", f"version {number}", reason, number))
        return deployable

    def _slots(self) -> Iterator[datetime]:
        cron = cron_of(self.history.spec)
        if cron is None:
            return
        from croniter import croniter

        slots = croniter(cron, self.start)
        while (slot := slots.get_next(datetime)) < self.end:
            yield slot
