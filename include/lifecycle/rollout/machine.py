"""The rollout's state machine: one pure function from plan, status, measurement and wall time to the next transition.

planned -> running (stage 0, 1, ...) -> baking -> promoted, and from any open state to rolled_back, held, aborted or concluded.
What differs between strategies stands in their stages (strategies.py), not here.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from include.lifecycle.rollout.judging.checks import bake_checks, stage_checks
from include.lifecycle.rollout.states import Act, Command, Measurement, Plan, Stage, State, Status, Transition
from include.lifecycle.verdicts import Verdict

_NOT_WAITED_FOR = ("performance",)  # labels may come long after the traffic


def step(plan: Plan, status: Status, seen: Measurement, now: datetime) -> Transition:
    """The next transition; `act` is "wait" when nothing changes. Raises ValueError for a closed rollout.

    In this order: what takes the traffic back (the watchdog did, a check failed, a person aborts, a newer candidate replaces),
    what a person wishes, what keeps it where it is (paused, frozen), and then the way forward or giving up.
    """
    if not status.state.is_open:
        raise ValueError(f"rollout of {plan.model} {plan.version} is closed ({status.state}); there is no next step")
    return _Look(plan, status, seen, now).transition()


def abort(plan: Plan, status: Status, reason: str) -> Transition:
    """Stop from outside: the champion gets all traffic back."""
    look = _Look(plan, status, Measurement(), status.since or datetime.min.replace(tzinfo=UTC))
    look.verdicts = []  # nothing was looked at
    return look.back("abort", State.ABORTED, reason)


class _Look:
    """One look at one rollout: what is judged, and the ways on and back in their order."""

    def __init__(self, plan: Plan, status: Status, seen: Measurement, now: datetime) -> None:
        self.plan, self.status, self.seen, self.now = plan, status, seen, now
        self.stage: Stage | None = plan.stage_at(status.step) if status.state is State.RUNNING else None
        self.verdicts = self._checks()

    def transition(self) -> Transition:
        return self._backward() or self._wished() or self._kept() or self._forward() or self._given_up()

    def _checks(self) -> list[Verdict]:
        if self.stage is not None:
            return stage_checks(self.plan, self.stage, self.seen)
        return bake_checks(self.plan, self.seen) if self.status.state is State.BAKING else []

    def _backward(self) -> Transition | None:
        wish, failed = self.seen.command, [one for one in self.verdicts if one.failed]
        if self.seen.watchdog:
            return self.back("roll_back", State.ROLLED_BACK, self.seen.watchdog)
        if failed:
            return self._lost(_told(failed))
        if wish is not None and wish.wish == "abort":
            return self.back("abort", State.ABORTED, wish.told)
        if wish is not None and wish.wish == "conclude" and wish.winner == "champion":
            return self._lost(wish.told)
        if self.seen.newer is not None and self.plan.on_new_candidate == "replace" and self.status.state is not State.BAKING:
            return self.back("abort", State.ABORTED, f"version {self.seen.newer} is newer and replaces it")
        return None

    def _lost(self, reason: str) -> Transition:
        """The challenger lost; an A/A test has no loser and is concluded."""
        if self.plan.strategy == "aa_test":
            return self._conclude(reason)
        return self.back("roll_back", State.ROLLED_BACK, reason)

    def _wished(self) -> Transition | None:
        """What a person asked for, where it applies; a wish that does not is left to the driver to answer."""
        wish = self.seen.command
        if wish is None or self.status.state is State.PLANNED or self._too_late(wish):
            return None
        if wish.wish == "pause" and not self.status.paused:
            return self._stay("pause", wish.told)
        if wish.wish == "resume" and self.status.paused:
            return self._stay("resume", wish.told)
        if (self.status.paused and not self.status.held) or self.seen.frozen:
            return None
        if wish.wish in ("skip", "conclude"):
            missing = ", ".join(one.check for one in self._open())
            return self._next(f"{wish.told} (not passed: {missing})" if missing else wish.told)
        return self._next(wish.told) if wish.wish == "resume" and self._passed() else None

    def _too_late(self, wish: Command) -> bool:
        """Whether the wish was meant for the stage before: a skip that came late must not end the bake in its first second."""
        return wish.at is not None and self.status.since is not None and wish.at < self.status.since

    def _kept(self) -> Transition | None:
        if self.seen.frozen:
            return self._stay("wait", self.seen.frozen)
        if self.status.paused:
            return self._stay("wait", f"{'held for a person' if self.status.held else 'paused'}; {_told(self._open())}")
        return None

    def _forward(self) -> Transition | None:
        if self.status.state is State.PLANNED:
            return self._enter(0, "serving checked and approved")
        if not self._passed() or (self.stage is not None and self.stage.manual):
            return None
        seen = "bake" if self.stage is None else f"stage {self.status.step + 1} ({self.stage.share})"
        return self._next(f"{seen} passed with {self.seen.requests} requests")

    def _passed(self) -> bool:
        """Whether time, requests and checks of the present stage, or of the bake, are reached."""
        outcomes = {one.check: one.passed for one in self.verdicts}
        if self.stage is None:
            unopposed = self.plan.champion is None
            return self._elapsed() >= self.plan.bake and (unopposed or outcomes.get("error_rate", False))
        if self._elapsed() < self.stage.at_least or _counted(self.stage, self.seen) < self.stage.requests:
            return False
        return all(outcomes.get(check, False) for check in self.stage.must_pass)

    def _given_up(self) -> Transition:
        """Wait on, or end what got no conclusion in its time; what passed and waited for a person is held."""
        if not self._late():
            waited = "passed; waits for a person's resume" if self._passed() else _told(self._open())
            return self._stay("wait", waited)
        reason = f"gave up: {_told(self._open())}"
        if self.plan.strategy == "aa_test":
            return self._conclude(f"ended after its time: {_told(self.verdicts)}")
        if self.plan.on_inconclusive == "hold" or self._passed():
            return self._hold(reason)
        return self.back("roll_back", State.ROLLED_BACK, reason)

    def _late(self) -> bool:
        if self.stage is not None and self.stage.at_most is not None:
            return self._elapsed() >= self.stage.at_most
        patience = self.plan.give_up_after + sum((one.at_most for one in self.plan.stages if one.at_most), timedelta(0))
        patience += timedelta(0) if self.stage is not None else self.plan.bake
        return self.now - (self.status.started or self.now) >= patience

    def _next(self, reason: str) -> Transition:
        """Out of the present stage, or out of the bake."""
        if self.stage is not None:
            return self._enter(self.status.step + 1, reason)
        done = {self.plan.version: 100}
        return self._to("confirm", State.PROMOTED, self.status.step, done, f"{reason}; {_told(self.verdicts)}")

    def _enter(self, index: int, reason: str) -> Transition:
        """Go to a stage, or past the last one: to the provisional promotion, or to an A/A test's end."""
        stage, weights = self.plan.stage_at(index), self.plan.weights_at(index)
        if stage is not None:
            told = f"{reason}; {stage.share} to version {self.plan.version}"
            return self._to("shift_traffic", State.RUNNING, index, weights, told)
        if self.plan.strategy == "aa_test":
            return self._conclude(reason)
        told = f"{reason}; all traffic to version {self.plan.version}, provisional until the bake ends"
        return self._to("promote", State.BAKING, index, weights, told)

    def _conclude(self, reason: str) -> Transition:
        return self._to("conclude", State.CONCLUDED, self.status.step, {self.plan.version: 100}, reason)

    def _hold(self, reason: str) -> Transition:
        """Leave the traffic as it is, still watched, until a person decides; without a champion that is the end."""
        return self._stay("hold", reason, State.HELD if self.plan.champion is None else None)

    def back(self, act: Act, state: State, reason: str) -> Transition:
        """All traffic to the champion; without one there is nothing to go back to, so what serves goes on serving and is held."""
        champion = self.plan.champion
        if champion is None and self.status.state is State.BAKING:
            return self._hold(f"{reason}; there is no champion to return to")
        return self._to(act, state, self.status.step, {} if champion is None else {champion: 100}, reason)

    def _stay(self, act: Act, reason: str, state: State | None = None) -> Transition:
        return self._to(act, state or self.status.state, self.status.step, self.status.weights, reason)

    def _to(self, act: Act, state: State, at: int, weights: dict[int, int], reason: str) -> Transition:
        return Transition(act=act, state=state, step=at, weights=weights, reason=reason, verdicts=self.verdicts)

    def _elapsed(self) -> timedelta:
        return self.now - (self.status.since or self.now)

    def _open(self) -> list[Verdict]:
        return [one for one in self.verdicts if not one.passed and one.check not in _NOT_WAITED_FOR]


def _counted(stage: Stage, seen: Measurement) -> int:
    """What a stage's `requests` counts: requests, pairs of a shadow that is compared, or the smaller arm's samples."""
    if stage.kind == "ab_test":
        return 0 if seen.experiment is None else min(seen.experiment.samples, seen.experiment.champion_samples)
    if "agreement" in stage.must_pass:
        return 0 if seen.pairs is None else seen.pairs.pairs
    return seen.requests


def _told(verdicts: list[Verdict]) -> str:
    return "; ".join(f"{verdict.check} {verdict.outcome}: {verdict.reason}" for verdict in verdicts) or "nothing to wait for"
