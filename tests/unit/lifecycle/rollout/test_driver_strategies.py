"""The driver walks every strategy on a real database, killed before each effect in turn: what happened stays the same."""

from dataclasses import replace

import pytest

from include.lifecycle.rollout.driver import drive_once
from include.lifecycle.rollout.evidence import ExperimentEvidence, PairEvidence
from tests.unit.lifecycle.rollout.conftest import Killed
from tests.unit.lifecycle.rollout.test_machine_strategies import plan_for

EXPERIMENT = ExperimentEvidence(
    samples=5000, champion_samples=45_000, difference=0.03, lower=0.02, upper=0.04, detail={"elapsed_seconds": 10}
)
NO_TIME = {"at_least": "0s", "requests": 20}
QUICK = {
    "bake": "0s",
    "steps": [{"percent": 10, **NO_TIME}, {"percent": 50, **NO_TIME}],
    "rolling": NO_TIME,
    "shadow": {"at_least": "0s", "pairs": 20},
    "ab_test": {"at_least": "0s", "minimum_samples": 20},
}
TO_NEW = [("promote", 8), ("traffic", {8: 100}), ("stop", 7)]
WALKS = {
    "canary": [{8: 10, 7: 90}, {8: 50, 7: 50}, {8: 100, 7: 0}],
    "canary, baseline": [{8: 10, 7: 90}, {8: 50, 7: 50}, {8: 100, 7: 0}],
    "blue_green": [{8: 100, 7: 0}],
    "rolling": [{8: 33, 7: 67}, {8: 67, 7: 33}, {8: 100, 7: 0}],
    "shadow": [{8: 0, 7: 100}, {8: 10, 7: 90}, {8: 50, 7: 50}, {8: 100, 7: 0}],
    "ab_test": [{8: 10, 7: 90}, {8: 100, 7: 0}],
    "ab_test, canary": [{8: 10, 7: 90}, {8: 50, 7: 50}, {8: 100, 7: 0}],
    "direct": [{8: 100, 7: 0}],
}


@pytest.fixture
def champion_with_three(rt, world):
    """The champion serves from three servers, as a model with `server.replicas: 3` does."""
    world.running[7] = (18307, 19307, 20307)
    return world


def hands_of(world):
    pairs = PairEvidence(pairs=500, agreed=500)
    return replace(world.hands(), pairs=lambda *given: pairs, experiment=lambda *given: EXPERIMENT)


def walk(rt, world, rollout_id, gateway_log, *, failed=0.0, kills=True):
    """Drive to the end, dying once before each effect in turn; the outcome."""
    died = 0
    for _ in range(600):
        world.boundaries, world.kill_at = 0, died + 1 if kills else None
        try:
            outcome = drive_once(rt, rollout_id, "driver", hands=hands_of(world))
        except Killed:
            died += 1
            continue
        died = 0
        if outcome is not None:
            return outcome
        gateway_log(7, 300)
        gateway_log(7, 300 if world.baselines else 0, arm="baseline")
        gateway_log(8, 300, failed=int(300 * failed))
    raise AssertionError("the rollout did not end")


def phases(rt):
    return [(row["act"], row["phase"]) for row in reversed(rt.ledger.read("churn", kind="rollout"))]


@pytest.mark.parametrize("name", WALKS)
def test_every_strategy_is_walked_once_however_often_its_driver_dies(
    rt, champion_with_three, open_rollout, gateway_log, desired, name
):
    world = champion_with_three
    rollout_id = open_rollout(**plan_for(name, **QUICK).model_dump(mode="json"))
    outcome = walk(rt, world, rollout_id, gateway_log)
    assert (outcome.state, world.aliases["champion"]) == ("promoted", 8)
    traffic = [("traffic", weights) for weights in WALKS[name]]
    assert [one for one in world.log if "baseline" not in one[0]] == [*traffic, *TO_NEW]
    assert {version: len(ports) for version, ports in world.running.items()} == {8: 3}
    assert world.baselines == {}
    assert (desired().weights, desired().champion, len(desired().servers[8].ports)) == ({8: 100}, 8, 3)
    assert (desired().baseline, desired().mirror, desired().sticky) == (None, None, None)
    told = phases(rt)
    acts = [act for act, phase in told if phase == "done"]
    assert acts == ["shift_traffic"] * (len(WALKS[name]) - 1) + ["promote", "confirm"]
    assert told == [(act, phase) for act in acts for phase in ("intended", "done")]


@pytest.mark.parametrize("name", [one for one in WALKS if one not in ("blue_green", "direct", "shadow")])
def test_every_strategy_goes_back_whole_however_often_its_driver_dies(
    rt, champion_with_three, open_rollout, gateway_log, desired, name
):
    world = champion_with_three
    rollout_id = open_rollout(**plan_for(name, **QUICK).model_dump(mode="json"))
    outcome = walk(rt, world, rollout_id, gateway_log, failed=1.0)
    assert (outcome.state, world.aliases["champion"]) == ("rolled_back", 7)
    assert [one for one in world.log if "baseline" not in one[0]] == [
        ("traffic", WALKS[name][0]),
        ("traffic", {7: 100}),
        ("stop", 8),
    ]
    assert {version: len(ports) for version, ports in world.running.items()} == {7: 3}, "a rolled champion gets its servers back"
    assert world.baselines == {}
    assert len(desired().servers[7].ports) == 3
    assert phases(rt) == [(act, phase) for act in ("shift_traffic", "roll_back") for phase in ("intended", "done")]


@pytest.mark.parametrize("name", ["blue_green", "direct"])
def test_a_switch_that_fails_in_the_bake_is_switched_back(rt, champion_with_three, open_rollout, gateway_log, name):
    world = champion_with_three
    rollout_id = open_rollout(**plan_for(name, **QUICK | {"bake": "1h"}).model_dump(mode="json"))
    outcome = walk(rt, world, rollout_id, gateway_log, failed=1.0)
    assert (outcome.state, world.aliases["champion"], world.weights) == ("rolled_back", 7, {7: 100})
    assert world.log == [("traffic", {8: 100, 7: 0}), ("promote", 8), ("traffic", {7: 100}), ("demote", 8), ("stop", 8)]


def test_an_aa_test_runs_the_champion_twice_and_moves_nothing(rt, champion_with_three, open_rollout, gateway_log, desired):
    world = champion_with_three
    rollout_id = open_rollout(**plan_for("aa_test", **QUICK).model_dump(mode="json"))
    outcome = walk(rt, world, rollout_id, gateway_log)
    assert (outcome.state, world.aliases) == ("concluded", {"champion": 7})
    assert (desired().weights, desired().baseline, desired().champion) == ({7: 100}, None, 7)
    assert ({version: len(ports) for version, ports in world.running.items()}, world.baselines) == ({7: 3}, {})
