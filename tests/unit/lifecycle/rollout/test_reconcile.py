"""What upkeep puts right beside rollouts: returns of the watchdog, leases, baselines, copies, orphans; one model at a time."""

import time
from dataclasses import replace

import pytest

from include.lifecycle.database import transaction
from include.lifecycle.errors import GatewayRejectedError
from include.lifecycle.rollout.drills.traces import PREFIX, is_drill, traces
from include.lifecycle.rollout.gateway.traffic import Baseline, Mirror, Server
from include.lifecycle.rollout.reconcile import reconcile
from include.lifecycle.rollout.states import State
from include.lifecycle.rollout.watchdog.journal import Returned, hold_back, leases, renew, returned
from include.lifecycle.tables import rollouts
from tests.unit.lifecycle.rollout.test_machine import plan_of


@pytest.fixture
def split(rt, world, desired):
    """Half of the traffic is at version 8, as a rollout left it that is no more."""

    def make(share=50, **beside):
        world.running |= {7: (18307,), 8: (18308,)}
        servers = {version: Server(ports=ports, digest="0" * 64, folder="/x") for version, ports in world.running.items()}
        weights = {7: 100 - share, 8: share}
        world.apply(desired().model_copy(update={"weights": weights, "servers": servers, **beside}))
        world.log.clear()

    return make


def take_back(rt, rollout=99):
    act = Returned(model="churn", rollout_id=rollout, version=8, champion=7, reason="nobody drives", at=time.time())
    hold_back(rt.settings.gateway_dir, act)
    return act


def test_a_return_that_no_rollout_answers_for_is_settled(rt, world, split, desired):
    split()
    world.aliases = {"champion": 8}
    take_back(rt)
    said = reconcile(rt, ["churn"], hands=world.hands())
    assert said[0] == "churn: the watchdog returned the traffic of rollout 99: nobody drives; the row follows"
    assert (desired().weights, desired().champion, world.aliases["champion"]) == ({7: 100}, 7, 7)
    assert world.log == [("traffic", {7: 100}), ("demote", 8), ("stop", 8)]  # the server is an orphan now
    assert rt.ledger.read("churn", kind="rollback")[0]["act"] == "settle the return to 7"


def test_a_return_whose_rollout_is_open_is_left_to_it(rt, world, split, open_rollout, desired):
    split()
    take_back(rt, open_rollout())
    reconcile(rt, ["churn"], run_alive=lambda model, run: True, hands=world.hands())
    assert (desired().weights, world.log) == ({7: 50, 8: 50}, [])


def test_a_standing_return_is_not_undone_as_a_change_by_hand(rt, world, split, open_rollout):
    split()
    world.weights = {7: 100, 8: 0}
    take_back(rt, open_rollout())
    assert reconcile(rt, ["churn"], run_alive=lambda model, run: True, hands=world.hands()) == []
    assert rt.ledger.read("churn", kind="foreign_change") == []
    assert returned(rt.settings.gateway_dir, "churn") is not None


def test_the_lease_of_a_closed_rollout_is_taken_back(rt, world, open_rollout):
    renew(rt.settings, plan_of(), 1, 1, until=time.time() + 60, state=State.RUNNING)
    rollout = open_rollout()
    reconcile(rt, ["churn"], run_alive=lambda model, run: True, hands=world.hands())
    assert len(leases(rt.settings.gateway_dir)) == 1
    from include.lifecycle.rollout.driver import close_rollout

    close_rollout(rt, rollout, "check", "no", hands=world.hands())
    renew(rt.settings, plan_of(), 1, 1, until=time.time() + 60, state=State.RUNNING)  # its driver died before it said so
    reconcile(rt, ["churn"], hands=world.hands())
    assert leases(rt.settings.gateway_dir) == []


def test_a_missing_baseline_is_started_again(rt, world, split, desired):
    world.baselines[7] = (28307,)
    spare = Baseline(percent=10, server=Server(ports=(28307,), digest="0" * 64, folder="/x"))
    split(baseline=spare)
    world.baselines.clear()
    said = reconcile(rt, ["churn"], hands=world.hands())
    assert said == ["churn: baseline of version 7 was not running; started on port 28307"]
    assert (world.baselines, desired().baseline) == ({7: (28307,)}, spare)


def test_a_baseline_that_nobody_wants_is_stopped(rt, world):
    world.baselines[7] = (28307,)
    assert reconcile(rt, ["churn"], hands=world.hands()) == ["churn: baseline of version 7 was wanted by no row; stopped"]
    assert world.baselines == {}


def test_servers_of_all_replicas_are_looked_after(rt, world, desired):
    world.running[7] = (18307, 19307)
    pair = Server(ports=(18307, 19307), digest="0" * 64, folder="/x")
    world.apply(desired().model_copy(update={"servers": {7: pair}}))
    world.running[7] = (18307,)
    said = reconcile(rt, ["churn"], hands=world.hands())
    assert said == ["churn: server of version 7 was not running; started on port 18307, 19307"]
    assert world.running[7] == (18307, 19307)


def test_copies_that_were_changed_by_hand_are_undone_and_reported(rt, world, split):
    split(share=0, mirror=Mirror(version=8, percent=50))
    world.row = world.row.model_copy(update={"mirror": None})
    assert reconcile(rt, ["churn"], hands=world.hands()) == ["churn: weights were {7: 100, 8: 0}; applied {7: 100, 8: 0}"]
    assert "another baseline, shadow or sticky key" in rt.ledger.read("churn", kind="foreign_change")[0]["reason"]
    assert world.row.mirror is not None


def test_one_models_trouble_does_not_stop_the_others(rt, world):
    def aliases(rt, model):
        if model == "churn":
            raise GatewayRejectedError("MLflow is away")
        return {"champion": {"expected": 2, "found": 3}}

    world.idle_servers = lambda model, seconds, baseline=False: set()
    hands = replace(world.hands(), foreign_aliases=aliases)
    assert reconcile(rt, ["churn", "fares"], hands=hands) == [
        "churn: not now, MLflow is away",
        "fares: alias champion is at version 3, we left it at 2",
    ]


def test_names_of_drills_are_nobody_elses(rt):
    assert (is_drill(f"{PREFIX}1a2b"), is_drill("drill_1a2b"), traces(rt)) == (True, False, [])


def meanwhile_rolled_back(world, desired, rt):
    """Somebody rolls back while upkeep starts the canary's server, which then is on another port."""
    start = world.ensure_server

    def ensure_server(model, version, *given, **named):
        if version != 8 or world.aliases.get("back"):
            return start(model, version, *given, **named)
        world.aliases["back"] = 7
        row = desired()
        start(model, version, *given, **named)
        world.apply(row.model_copy(update={"weights": {7: 100}, "servers": {7: row.servers[7]}}))
        world.running[8] = (18999,)
        return (18999,)

    world.ensure_server = ensure_server


def test_upkeep_never_writes_a_row_back_that_changed_meanwhile(rt, world, split, desired):
    split()
    world.running.pop(8)
    meanwhile_rolled_back(world, desired, rt)
    said = reconcile(rt, ["churn"], hands=world.hands())
    assert (desired().weights, world.weights) == ({7: 100}, {7: 100})
    assert "churn: not now, churn: the traffic was changed by somebody else meanwhile (revision" in " ".join(said)
    assert world.running == {7: (18307,)}  # the server that nobody wants is an orphan


def test_traffic_that_was_just_changed_is_no_change_by_hand(rt, world, split, desired):
    split()
    row, read_back = desired(), world.read_back

    def changed(model):
        world.read_back = read_back
        world.apply(row.model_copy(update={"weights": {7: 100}, "servers": {7: row.servers[7]}}))
        return read_back(model)

    world.weights = {7: 51, 8: 49}  # in the middle of it
    world.read_back = changed
    reconcile(rt, ["churn"], hands=world.hands())
    assert (desired().weights, world.weights) == ({7: 100}, {7: 100})
    assert rt.ledger.read("churn", kind="foreign_change") == []


def test_a_return_is_not_settled_over_a_newer_row(rt, world, split, desired):
    split()
    take_back(rt)
    row, apply = desired(), world.apply

    def overtaken(wanted, guard=None):
        world.apply = apply
        apply(row.model_copy(update={"weights": {7: 90, 8: 10}}))
        return apply(wanted, guard)

    world.apply = overtaken
    said = reconcile(rt, ["churn"], hands=world.hands())
    assert "the traffic was changed by somebody else meanwhile" in said[0]
    assert desired().weights == {7: 90, 8: 10}


def test_a_row_that_nobody_can_read_stops_nothing_else(rt, world, open_rollout, caplog):
    rollout = open_rollout()
    with transaction(rt.engine) as connection:
        connection.execute(rollouts.update().values(plan={"of": "another release"}))
    world.running[5] = (18305,)
    said = reconcile(rt, ["churn"], run_alive=lambda model, run: True, hands=world.hands())
    assert said[0].startswith(f"rollout {rollout}: not now, ValidationError: ")
    assert said[-1] == "churn: server of version 5 was wanted by no row; stopped"
    assert "Traceback" in caplog.text
