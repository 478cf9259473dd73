"""The rollout's state machine: what it does in each situation, and what holds on every path."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from include.lifecycle.rollout import machine
from include.lifecycle.rollout.states import OPEN_STATES, Measurement, PerformanceEvidence, Plan, State, Status
from include.lifecycle.tables import rollouts
from include.lifecycle.verdicts import Outcome

START = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = Measurement(requests=5000, errors=0, timed=5000, slow=5, champion_requests=9000, limit_us=20_000)


def plan_of(**changes):
    values = {
        "model": "churn",
        "version": 8,
        "champion": 7,
        "strategy": "canary",
        "steps": [{"percent": share, "at_least": "5m", "requests": 500} for share in (10, 25, 50)],
        "limits": {"error_rate": 0.1, "latency_ratio": 2.0, "latency_floor": "10ms", "performance_drop": 0.2},
        "false_rollback_rate": 0.01,
        "give_up_after": "24h",
        "on_inconclusive": "roll_back",
        "bake": "24h",
        "poll": "1s",
        "lease": "60s",
        "approval_timeout": "72h",
    }
    return Plan.model_validate(values | changes)


def test_the_index_of_open_rollouts_and_the_states_agree():
    (index,) = [one for one in rollouts.indexes if one.name == "rollouts_one_open"]
    written = str(index.dialect_options["postgresql"]["where"])
    assert written == f"state IN {OPEN_STATES!r}"
    assert {State(one) for one in OPEN_STATES} == {one for one in State if one.is_open}


def running(step=0, since=START):
    weights = plan_of().weights_at(step)
    return Status(state=State.RUNNING, step=step, since=since, started=START, weights=weights)


def baking(since=START):
    return Status(state=State.BAKING, step=3, since=since, started=START, weights={7: 0, 8: 100})


def after(**delta):
    return START + timedelta(**delta)


def test_planned_starts_with_the_first_step():
    transition = machine.step(plan_of(), Status(), Measurement(), START)
    assert (transition.act, transition.state, transition.weights) == ("shift_traffic", State.RUNNING, {8: 10, 7: 90})


def test_first_version_goes_direct():
    transition = machine.step(plan_of(champion=None, strategy="direct"), Status(), Measurement(), START)
    assert (transition.act, transition.state, transition.weights) == ("promote", State.BAKING, {8: 100})


@pytest.mark.parametrize(
    ("elapsed", "requests", "act"), [(301, 5000, "shift_traffic"), (299, 5000, "wait"), (301, 499, "wait"), (0, 0, "wait")]
)
def test_a_step_needs_time_and_requests(elapsed, requests, act):
    seen = GOOD.model_copy(update={"requests": requests})
    assert machine.step(plan_of(), running(), seen, after(seconds=elapsed)).act == act


def test_last_step_leads_to_provisional_promotion_with_the_champion_warm():
    transition = machine.step(plan_of(), running(2), GOOD, after(minutes=6))
    assert (transition.act, transition.state, transition.weights) == ("promote", State.BAKING, {8: 100, 7: 0})


@pytest.mark.parametrize(
    ("seen", "check"),
    [
        ({"errors": 1500}, "error_rate"),
        ({"slow": 800}, "latency"),
        ({"performance": PerformanceEvidence(rows=900, drop_lower=0.25, drop_upper=0.6)}, "performance"),
    ],
)
def test_a_failed_check_rolls_back_at_once(seen, check):
    transition = machine.step(plan_of(), running(), GOOD.model_copy(update=seen), after(seconds=2))
    assert (transition.act, transition.state, transition.weights) == ("roll_back", State.ROLLED_BACK, {7: 100})
    assert [verdict.check for verdict in transition.verdicts if verdict.failed] == [check]
    assert check in transition.reason


def test_few_bad_requests_are_no_proof():
    seen = Measurement(requests=4, errors=1, timed=4, slow=1, limit_us=1)
    transition = machine.step(plan_of(), running(), seen, after(hours=1))
    assert transition.act == "wait"
    assert {verdict.outcome for verdict in transition.verdicts} == {Outcome.INCONCLUSIVE}


@pytest.mark.parametrize(
    ("choice", "act", "state"), [("roll_back", "roll_back", State.ROLLED_BACK), ("hold", "hold", State.RUNNING)]
)
def test_giving_up_follows_the_policy(choice, act, state):
    transition = machine.step(plan_of(on_inconclusive=choice), running(), Measurement(), after(hours=25))
    assert (transition.act, transition.state) == (act, state)
    assert sum(transition.weights.values()) == 100


def test_bake_ends_in_promotion():
    assert machine.step(plan_of(), baking(), GOOD, after(hours=23)).act == "wait"
    transition = machine.step(plan_of(), baking(), GOOD, after(hours=24))
    assert (transition.act, transition.state, transition.weights) == ("confirm", State.PROMOTED, {8: 100})


def test_bake_fails_on_errors():
    seen = GOOD.model_copy(update={"errors": 2000})
    transition = machine.step(plan_of(), baking(), seen, after(minutes=1))
    assert (transition.act, transition.weights) == ("roll_back", {7: 100})


def test_first_version_that_fails_is_held():
    plan = plan_of(champion=None, strategy="direct")
    status = Status(state=State.BAKING, since=START, started=START, weights={8: 100})
    transition = machine.step(plan, status, GOOD.model_copy(update={"errors": 2000}), after(minutes=1))
    assert (transition.state, transition.weights) == (State.HELD, {8: 100})


def test_a_closed_rollout_has_no_next_step():
    with pytest.raises(ValueError, match="closed"):
        machine.step(plan_of(), Status(state=State.PROMOTED), GOOD, START)


def test_alpha_is_split_over_all_tests():
    assert plan_of().alpha * (6 * 3 + 3) == pytest.approx(0.01)
    assert plan_of(strategy="direct").alpha * 3 == pytest.approx(0.01)


MEASUREMENTS = st.builds(
    lambda requests, errors, slow: Measurement(
        requests=requests, errors=int(errors * requests), timed=requests, slow=int(slow * requests), limit_us=1.0
    ),
    st.integers(0, 20_000),
    st.sampled_from([0.0, 0.01, 0.08, 0.1, 0.3]),
    st.sampled_from([0.0, 0.01, 0.05, 0.2]),
)


class Rollout(RuleBasedStateMachine):
    """Any sequence of waits, measurements and aborts."""

    def __init__(self):
        super().__init__()
        self.now, self.status, self.champions = START, Status(), {7}
        self.plan = plan_of()

    def _take(self, transition):
        if transition.act == "wait":
            assert transition.weights == self.status.weights
            return
        if transition.act == "promote":
            self.champions = {8}
        if transition.act in ("roll_back", "abort"):
            self.champions = {7}
        update = {"state": transition.state, "step": transition.step, "weights": transition.weights, "since": self.now}
        self.status = self.status.model_copy(update=update | {"started": self.status.started or self.now})

    @precondition(lambda self: self.status.state.is_open)
    @rule(seen=MEASUREMENTS, minutes=st.integers(0, 600))
    def look(self, seen, minutes):
        before = self.status
        self.now += timedelta(minutes=minutes)
        self._take(machine.step(self.plan, self.status, seen, self.now))
        if self.status.state is State.RUNNING and before.state is State.RUNNING:
            assert self.status.step - before.step in (0, 1)

    @precondition(lambda self: self.status.state.is_open)
    @rule()
    def abort(self):
        self._take(machine.abort(self.plan, self.status, "a person"))
        assert self.status.state is State.ABORTED

    @precondition(lambda self: not self.status.state.is_open)
    @rule()
    def closed_stays_closed(self):
        with pytest.raises(ValueError, match="closed"):
            machine.step(self.plan, self.status, GOOD, self.now)

    @invariant()
    def weights_sum_to_one_hundred(self):
        assert self.status.state is State.PLANNED or sum(self.status.weights.values()) == 100
        assert set(self.status.weights) <= {7, 8}

    @invariant()
    def one_champion_and_it_serves(self):
        assert len(self.champions) == 1
        if self.status.state in (State.ROLLED_BACK, State.ABORTED):
            assert (self.status.weights, self.champions) == ({7: 100}, {7})
        if self.status.state is State.PROMOTED:
            assert (self.status.weights, self.champions) == ({8: 100}, {8})

    def teardown(self):
        """Every path ends: with time alone the rollout closes."""
        for _ in range(20):
            if not self.status.state.is_open:
                break
            self.now += timedelta(hours=60)
            self._take(machine.step(self.plan, self.status, GOOD, self.now))
        assert self.status.state in (State.PROMOTED, State.ROLLED_BACK, State.HELD, State.ABORTED)


Rollout.TestCase.settings = settings(max_examples=100, stateful_step_count=20, deadline=None)
TestRollout = Rollout.TestCase


@given(MEASUREMENTS, st.integers(0, 3000))
def test_step_is_pure(seen, minutes):
    plan, status = plan_of(), running(1)
    first, second = (machine.step(plan, status, seen, after(minutes=minutes)) for _ in range(2))
    assert first == second
