"""Effects of every kind of stage on a real database: in order, killed before each boundary, and with a stranger's traffic."""

import pytest

from include.lifecycle.database import transaction
from include.lifecycle.errors import GateFailedError
from include.lifecycle.rollout.effects import Effects
from include.lifecycle.rollout.gateway.traffic import DesiredTraffic, Server, read_desired
from include.lifecycle.rollout.lease import take_lease
from include.lifecycle.rollout.states import State, Status, Transition
from tests.unit.lifecycle.rollout.conftest import Killed
from tests.unit.lifecycle.rollout.test_machine import plan_of

AT_ONCE = {"at_least": "0s", "requests": 0}
CANARY = [{"percent": share, "baseline": share, **AT_ONCE} for share in (10, 50)]
SHADOW = [{"kind": "mirror", "percent": 0, "mirror": 40, **AT_ONCE}]
ROLLING = [{"percent": 33, "servers": (1, 2), **AT_ONCE}, {"percent": 67, "servers": (2, 1), **AT_ONCE}]


class Walk:
    """One rollout of version 8 whose transitions are carried out one by one, with or without kills."""

    def __init__(self, rt, world, open_rollout, **changes):
        self.rt, self.world, self.plan, self.status = rt, world, plan_of(**changes), Status()
        _, self.lease = take_lease(rt, open_rollout(**changes), "driver")

    def go(self, act, state, step, weights, *, kill):
        """Carry one transition out; with `kill`, die before each of its boundaries in turn, once each."""
        transition = Transition(act=act, state=state, step=step, weights=weights, reason="test")
        self.status = self.status.model_copy(update={"sequence": self.status.sequence + 1})
        effects = Effects(self.rt, self.world.hands(), self.lease, self.plan, self.status)
        for boundary in range(1, 100) if kill else [None]:
            self.world.boundaries, self.world.kill_at = 0, boundary
            try:
                effects.carry_out(transition)
                break
            except Killed:
                continue
        self.status = self.status.model_copy(update={"state": state, "step": step, "weights": weights})

    def forward(self, kill):
        """All stages, promotion and the end of the bake."""
        for step in range(len(self.plan.stages)):
            self.go("shift_traffic", State.RUNNING, step, self.plan.weights_at(step), kill=kill)
        last = len(self.plan.stages)
        self.go("promote", State.BAKING, last, self.plan.weights_at(last), kill=kill)
        self.go("confirm", State.PROMOTED, last, {8: 100}, kill=kill)

    def back(self, kill, stages=1):
        """Some stages, and then back."""
        for step in range(stages):
            self.go("shift_traffic", State.RUNNING, step, self.plan.weights_at(step), kill=kill)
        self.go("roll_back", State.ROLLED_BACK, stages - 1, {7: 100}, kill=kill)

    @property
    def row(self):
        """The desired traffic as it is stored."""
        with transaction(self.rt.engine) as connection:
            return read_desired(connection, "churn")


@pytest.fixture
def walk(rt, world, open_rollout):
    return lambda **changes: Walk(rt, world, open_rollout, **changes)


@pytest.mark.parametrize("kill", [False, True])
def test_a_baseline_comes_with_the_canary_and_goes_with_it(walk, world, kill):
    one = walk(stages=CANARY)
    one.go("shift_traffic", State.RUNNING, 0, {8: 10, 7: 90}, kill=kill)
    assert (one.row.baseline.percent, one.row.baseline.server.ports) == (10, world.baselines[7])
    one.go("shift_traffic", State.RUNNING, 1, {8: 50, 7: 50}, kill=kill)
    assert (one.row.baseline.percent, set(world.baselines)) == (50, {7})
    one.go("promote", State.BAKING, 2, {8: 100, 7: 0}, kill=kill)
    assert (one.row.baseline, world.baselines) == (None, {})
    one.go("confirm", State.PROMOTED, 2, {8: 100}, kill=kill)
    log = [one for one in world.log if one[0] != "traffic"]
    assert log == [("baseline", 7), ("end baseline", 7), ("promote", 8), ("stop", 7)] or kill
    assert (log.count(("promote", 8)), world.running.keys(), world.baselines) == (1, {8}, {})


@pytest.mark.parametrize("kill", [False, True])
def test_a_baseline_ends_when_the_rollout_goes_back(walk, world, kill):
    one = walk(stages=CANARY)
    one.back(kill, stages=2)
    assert (one.row.weights, one.row.baseline, world.baselines, world.running.keys()) == ({7: 100}, None, {}, {7})


def test_a_baseline_that_another_rollout_left_is_not_taken_over(walk, world):
    world.baselines[7] = (29999,)
    one = walk(stages=CANARY)
    one.go("shift_traffic", State.RUNNING, 0, {8: 10, 7: 90}, kill=False)
    assert world.log[:2] == [("end baseline", 7), ("baseline", 7)]
    one.go("shift_traffic", State.RUNNING, 1, {8: 50, 7: 50}, kill=False)
    assert world.log.count(("baseline", 7)) == 1, "the second stage goes on with the baseline of the first"


@pytest.mark.parametrize("kill", [False, True])
def test_a_shadow_gets_copies_and_no_request(walk, world, kill):
    one = walk(stages=SHADOW, strategy="shadow")
    one.go("shift_traffic", State.RUNNING, 0, {8: 0, 7: 100}, kill=kill)
    assert (one.row.mirror.version, one.row.mirror.percent, one.row.weights) == (8, 40, {8: 0, 7: 100})
    one.go("roll_back", State.ROLLED_BACK, 0, {7: 100}, kill=kill)
    assert (one.row.mirror, one.row.weights, world.running.keys()) == (None, {7: 100}, {7})


@pytest.mark.parametrize("kill", [False, True])
def test_rolling_replaces_server_by_server(walk, world, kill):
    world.ensure_server("churn", 7, None, "", None, replicas=3)
    ports = world.running[7]
    with_three = {7: Server(ports=ports, digest=f"{7:064d}", folder=str(world.materialise(world.rt, "churn", 7)[0]))}
    world.apply(DesiredTraffic(model="churn", champion=7, weights={7: 100}, servers=with_three))
    one, seen = walk(stages=ROLLING, strategy="rolling", replicas=3), []
    for step in (0, 1):
        one.go("shift_traffic", State.RUNNING, step, one.plan.weights_at(step), kill=kill)
        seen.append({version: len(found) for version, found in world.running.items()})
    assert seen == [{7: 2, 8: 1}, {7: 1, 8: 2}]
    one.go("promote", State.BAKING, 2, {8: 100, 7: 0}, kill=kill)
    assert {version: len(found) for version, found in world.running.items()} == {7: 1, 8: 3}
    one.go("confirm", State.PROMOTED, 2, {8: 100}, kill=kill)
    assert (world.running.keys(), one.row.servers[8].ports) == ({8}, world.running[8])


@pytest.mark.parametrize("kill", [False, True])
def test_a_champion_that_gave_servers_away_gets_them_back(walk, world, kill):
    world.ensure_server("churn", 7, None, "", None, replicas=3)
    with_three = {7: Server(ports=world.running[7], digest="7", folder=str(world.materialise(world.rt, "churn", 7)[0]))}
    world.apply(DesiredTraffic(model="churn", champion=7, weights={7: 100}, servers=with_three))
    one = walk(stages=ROLLING, strategy="rolling", replicas=3)
    one.back(kill, stages=2)
    assert ({version: len(found) for version, found in world.running.items()}, one.row.weights) == ({7: 3}, {7: 100})
    assert one.row.servers[7].ports == world.running[7]


@pytest.mark.parametrize("kill", [False, True])
def test_an_experiment_goes_by_its_header_and_ends_without(walk, world, spec, kill):
    stages = [{"kind": "ab_test", "percent": 20, **AT_ONCE}]
    one = walk(stages=stages, strategy="ab_test", ab_test=spec.rollout.ab_test)
    one.go("shift_traffic", State.RUNNING, 0, {8: 20, 7: 80}, kill=kill)
    assert one.row.sticky == "x-user-id"
    one.go("promote", State.BAKING, 1, {8: 100, 7: 0}, kill=kill)
    assert (one.row.sticky, one.row.weights) == (None, {8: 100, 7: 0})


@pytest.mark.parametrize("strategy", ["blue_green", "direct"])
@pytest.mark.parametrize("kill", [False, True])
def test_one_switch_keeps_the_old_environment_until_the_bake_ends(walk, world, strategy, kill):
    one = walk(stages=[], strategy=strategy, replicas=2)
    one.go("promote", State.BAKING, 0, {8: 100, 7: 0}, kill=kill)
    assert (len(world.running[8]), set(world.running), one.row.servers.keys()) == (2, {7, 8}, {7, 8})
    one.go("confirm", State.PROMOTED, 0, {8: 100}, kill=kill)
    assert (world.running.keys(), one.row.servers.keys()) == ({8}, {8})


def rolled_back_by_hand(world):
    """Version 6 got all traffic, as a rollback that began before this rollout gives it."""
    folder, digest = world.materialise(world.rt, "churn", 6)
    world.running[6] = (18306,)
    servers = {6: Server(ports=(18306,), digest=digest, folder=str(folder))}
    world.apply(DesiredTraffic(model="churn", champion=6, weights={6: 100}, servers=servers))
    world.aliases = {"champion": 6}


def test_a_rollout_does_not_give_traffic_to_a_champion_that_was_rolled_back(walk, world):
    one = walk(stages=CANARY)
    rolled_back_by_hand(world)
    with pytest.raises(GateFailedError, match=r"version 6 is the champion of the traffic now.*planned against version 7"):
        one.go("shift_traffic", State.RUNNING, 0, {8: 10, 7: 90}, kill=False)
    one.go("roll_back", State.ROLLED_BACK, 0, {7: 100}, kill=False)
    assert (one.row.weights, world.weights, one.row.champion) == ({6: 100}, {6: 100}, 6)
    assert 8 not in world.running


def test_a_rollback_in_the_middle_stops_the_next_step_and_is_not_undone(walk, world):
    one = walk(stages=CANARY)
    one.go("shift_traffic", State.RUNNING, 0, {8: 10, 7: 90}, kill=False)
    rolled_back_by_hand(world)
    for act, state, weights in (("shift_traffic", State.RUNNING, {8: 50, 7: 50}), ("promote", State.BAKING, {8: 100, 7: 0})):
        with pytest.raises(GateFailedError, match="version 6 is the champion"):
            one.go(act, state, 1, weights, kill=False)
    one.go("roll_back", State.ROLLED_BACK, 1, {7: 100}, kill=False)
    assert (one.row.weights, world.aliases["champion"], world.baselines) == ({6: 100}, 6, {})
    assert ("promote", 8) not in world.log
