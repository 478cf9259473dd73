"""What holds on every path of every strategy: any sequence of looks, wishes, freezes, newer versions and watchdog acts."""

from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from include.lifecycle.rollout import machine
from include.lifecycle.rollout.evidence import Measurement
from include.lifecycle.rollout.states import Plan, State, Status
from include.lifecycle.rollout.status_after import after, while_frozen
from tests.unit.lifecycle.rollout.test_machine_strategies import START, STRATEGIES, plan_for, seen_by, wish

LOOKS = st.builds(
    lambda **given: given,
    requests=st.sampled_from([0, 40, 600, 20_000]),
    errors=st.sampled_from([*[0.0] * 8, 0.01, 0.3]),
    slow=st.sampled_from([*[0.0] * 9, 0.2]),
    agreed=st.sampled_from([1.0, 1.0, 0.97, 0.5]),
    effect=st.sampled_from([(0.02, 0.04), (0.02, 0.04), (-0.01, 0.03), (-0.04, -0.02)]),
    frozen=st.sampled_from(["", "", "", "an incident"]),
    newer=st.sampled_from([*[None] * 9, 9]),
    watchdog=st.sampled_from([*[""] * 19, "the lease lapsed"]),
)
RARELY = st.sampled_from([False] * 19 + [True])
WISHES = st.sampled_from(
    [None] * 6
    + [wish(one) for one in ("pause", "pause", "resume", "resume", "skip", "skip", "abort")]
    + [wish("conclude", winner=one) for one in ("challenger", "champion")]
)


class AnyRollout(RuleBasedStateMachine):
    """Any strategy, any sequence of looks, wishes, freezes and deaths of what drives it."""

    @initialize(name=st.sampled_from(sorted(STRATEGIES)), replace=st.booleans(), hold=st.booleans())
    def begin(self, name, replace, hold):
        choice = {"on_new_candidate": "replace" if replace else "wait", "on_inconclusive": "hold" if hold else "roll_back"}
        self.plan: Plan = plan_for(name, **choice)
        self.now, self.status = START, Status()
        self.champions = {self.plan.champion} - {None}

    def _take(self, transition):
        before = self.status
        if transition.act == "promote":
            self.champions = {self.plan.version}
        if transition.act in ("roll_back", "abort"):
            self.champions = {self.plan.champion} - {None}
        self.status = before.model_copy(update=after(before, transition, self.now))
        if self.status.state is State.RUNNING and before.state is State.RUNNING:
            assert self.status.step - before.step in (0, 1)

    @precondition(lambda self: self.status.state.is_open)
    @rule(look=LOOKS, asked=WISHES, minutes=st.sampled_from([0, 1, 10, 60 * 7]), outside=RARELY)
    def look(self, look, asked, minutes, outside):
        self.now += timedelta(minutes=minutes)
        if outside:
            self._abort_from_outside()
            return
        seen = seen_by(self.plan, **look, command=asked)
        if self.status.state is State.PLANNED:
            seen = Measurement(frozen=look["frozen"], newer=look["newer"], command=seen.command)
        self.status = self.status.model_copy(update=while_frozen(self.status, look["frozen"], self.now))
        transition = machine.step(self.plan, self.status, seen, self.now)
        assert transition == machine.step(self.plan, self.status, seen, self.now)
        forward = transition.act in ("shift_traffic", "promote", "confirm")
        decided = transition.act == "resume" or (self.status.held and asked is not None)
        held_up = look["frozen"] or (self.status.paused and not decided)
        assert not (forward and held_up), "paused or frozen never moves forward"
        failed = [one for one in transition.verdicts if one.failed]
        if failed and self.plan.champion not in (None, self.plan.version):
            assert transition.weights == {self.plan.champion: 100}
            assert not transition.state.is_open
        if transition.act == "wait":
            assert transition.weights == self.status.weights
        else:
            self._take(transition)

    def _abort_from_outside(self):
        self._take(machine.abort(self.plan, self.status, "a person's rollback"))
        without = self.plan.champion is None and 8 in self.champions
        assert self.status.state is (State.HELD if without else State.ABORTED)

    @precondition(lambda self: not self.status.state.is_open)
    @rule()
    def closed_stays_closed(self):
        with pytest.raises(ValueError, match="closed"):
            machine.step(self.plan, self.status, seen_by(self.plan), self.now)

    @invariant()
    def weights_sum_to_one_hundred(self):
        none_yet = self.status.state is State.PLANNED or self.plan.champion is None
        assert none_yet or sum(self.status.weights.values()) == 100
        assert set(self.status.weights) <= {7, 8}

    @invariant()
    def never_two_champions(self):
        assert len(self.champions) <= 1
        state = self.status.state
        if state in (State.ROLLED_BACK, State.ABORTED) and self.plan.champion is not None:
            assert (self.status.weights, self.champions) == ({7: 100}, {7})
        if state is State.PROMOTED:
            assert (self.status.weights, self.champions) == ({8: 100}, {8})
        if state is State.CONCLUDED:
            assert (self.status.weights, self.champions) == ({7: 100}, {7})

    def teardown(self):
        """Every path ends: a person who resumes and skips comes to the end of each rollout."""
        if not hasattr(self, "plan"):
            return
        for _ in range(40):
            if not self.status.state.is_open:
                break
            self.now += timedelta(days=30)
            asked = wish("resume") if self.status.paused else wish("skip")
            self.status = self.status.model_copy(update=while_frozen(self.status, "", self.now))
            self._take(machine.step(self.plan, self.status, seen_by(self.plan, command=asked), self.now))
        closed = {State.PROMOTED, State.ROLLED_BACK, State.HELD, State.ABORTED, State.CONCLUDED}
        assert self.status.state in closed


AnyRollout.TestCase.settings = settings(max_examples=120, stateful_step_count=20, deadline=None)
TestAnyRollout = AnyRollout.TestCase
