"""The signals in memory: opened, kept and resolved by the rules of monitoring/signals.py, decided on, and trained for.

Shared by the replay of data (replay.py) and that of stored windows (threshold_replay.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from include.lifecycle.decisions.calendar import next_start
from include.lifecycle.decisions.facts import AGE
from include.lifecycle.decisions.policy import decide_retraining
from include.lifecycle.decisions.vocabulary import FREEZING, Decision, RetrainingState, SignalView, lower_bound
from include.lifecycle.monitoring.kinds import KINDS
from include.lifecycle.monitoring.signals import Standing
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.permission import month_of


@dataclass(frozen=True)
class Answer:
    """The policy's decision, whether it is another one than before, and the cause of the training that it wants, if any."""

    decision: Decision
    changed: bool
    cause: str | None


@dataclass
class Book:
    """Open signals by cause, trainings so far, which causes of which version were trained for at what effect, last decision."""

    spec: ModelSpec
    opened: dict[str, SignalView] = field(default_factory=dict)
    spent: dict[tuple[str, int | None], float] = field(default_factory=dict)
    requests: list[datetime] = field(default_factory=list)
    trainings: list[datetime] = field(default_factory=list)
    fruitless: int = 0
    last_codes: frozenset[tuple[str, str]] = frozenset()
    _next: int = 1

    def refresh(self, version: int, found: Sequence[Standing]) -> list[tuple[str, str, str]]:
        """Bring the signals up to what `version` shows; (opened or resolved, cause, reason) for each change."""
        changes = []
        by_cause = {standing.cause: standing for standing in found}
        for cause, view in list(self.opened.items()):
            if reason := self._ending(view, version, by_cause.get(cause)):
                del self.opened[cause]
                changes.append(("resolved", cause, reason))
        for standing in found:
            failure = standing.newest_failure
            if standing.failing and failure is not None:
                known = self.opened.get(standing.cause)
                self.opened[standing.cause] = self._view(standing, version, known.id if known else self._number())
                if known is None:
                    changes.append(("opened", standing.cause, failure.reason))
        return changes

    def look_at_age(self, version: int, age: timedelta) -> list[tuple[str, str, str]]:
        """Open or resolve the signal that the champion is older than `retraining.max_age`."""
        allowed = self.spec.retraining.max_age
        if age <= allowed:
            return [("resolved", AGE, "the champion is young enough")] if self.opened.pop(AGE, None) else []
        fresh = AGE not in self.opened
        number = self._number() if fresh else self.opened[AGE].id
        reason = f"version {version} is {age / timedelta(days=1):.1f}d old"
        view = SignalView(id=number, kind="age", cause=AGE, effect=age / allowed, severity="act", version=version, reason=reason)
        self.opened[AGE] = view
        return [("opened", AGE, reason)] if fresh else []

    def decide(self, champion: int, now: datetime) -> Answer | None:
        """Ask the policy; what it trains for is accepted and spent. None without an open signal."""
        views = list(self.opened.values())
        if not views:
            self.last_codes = frozenset()
            return None
        decision = decide_retraining(views, self.state(champion, now), self.spec, now)
        codes = frozenset((view.cause, decision.by_signal[view.id].code) for view in views)
        changed, self.last_codes = codes != self.last_codes, codes
        if decision.act != "retrain":
            return Answer(decision, changed, None)
        cause = next(view.cause for view in views if view.id == decision.primary)
        self.accept([number for number, one in decision.by_signal.items() if one.act == "retrain"], now)
        return Answer(decision, changed, cause)

    def refusal(self, now: datetime) -> str | None:
        """Why the schedule's training would have been refused at `now`; the daily window is for signals only."""
        rules = self.spec.retraining
        if frozen := sorted(view.cause for view in self.opened.values() if view.kind in FREEZING):
            return f"training is frozen by {', '.join(frozen)}"
        if (later := next_start(None, rules.freeze, now)) > now:
            return f"the calendar lets no training start before {later:%Y-%m-%d %H:%M} UTC"
        spent = self.state(0, now).trainings_this_month
        return f"{spent} trainings this month spend the budget" if spent >= rules.budget_per_month else None

    def accept(self, ids: Sequence[int], at: datetime) -> None:
        """A training was requested for these signals: their causes are spent at their present effect."""
        for cause, view in list(self.opened.items()):
            if view.id in ids:
                self.spent[cause, view.version] = view.effect
                del self.opened[cause]
        self.requests.append(at)

    def ended(self, *, promoted: bool, for_signal: bool) -> None:
        """A training is over; only those for signals count as fruitless."""
        if promoted:
            self.fruitless = 0
        elif for_signal:
            self.fruitless += 1

    def state(self, champion: int, now: datetime) -> RetrainingState:
        """What the policy asks of the past."""
        first, last = month_of(now)
        views = self.opened.values()
        spent = {view.cause: self.spent[view.cause, view.version] for view in views if (view.cause, view.version) in self.spent}
        return RetrainingState(
            last_request_at=max(self.requests, default=None),
            trainings_this_month=sum(first <= at < last for at in self.trainings),
            fruitless=self.fruitless,
            spent=spent,
            champion=champion,
        )

    def _ending(self, view: SignalView, version: int, standing: Standing | None) -> str | None:
        if view.kind in KINDS and KINDS[view.kind].of_a_version and view.version != version:
            return f"version {version} took over from version {view.version}"
        wanted = self.spec.retraining.confirm.windows
        healthy = standing is not None and not standing.failing and standing.windows_failed < wanted
        return "the newest window is healthy again" if healthy else None

    def _view(self, standing: Standing, version: int, number: int) -> SignalView:
        failure = standing.newest_failure
        evidence = failure.evidence if failure else {}
        seconds = float(standing.evidence().get("spanning_seconds", 0.0))
        effect = float(evidence.get("effect", 0.0))
        return SignalView(
            id=number,
            kind=standing.kind,
            cause=standing.cause,
            effect=effect,
            lower=lower_bound(effect, evidence),
            severity=str(evidence.get("severity", "warn")),
            version=version,
            windows_failed=standing.windows_failed,
            spanning=timedelta(seconds=seconds),
            reason=failure.reason if failure else "",
        )

    def _number(self) -> int:
        self._next += 1
        return self._next - 1
