"""Each strategy under live traffic on a real Envoy and real servers: ledger, aliases, traffic, and no failed request."""

import time

import pytest

from include.lifecycle.rollout.steering import steer
from tests.integration.strategy_lab import MODEL, SOON, Lab

pytestmark = pytest.mark.integration


@pytest.fixture
def lab(stack, make_runtime):
    """`lab(replicas=..., **behaviour of version 8)`: a Lab whose champion serves already."""
    made = []

    def build(*, replicas=1, **behaviour):
        lab = Lab(make_runtime(**stack.environment), stack.port, replicas, behaviour)
        made.append(lab)
        lab.serve_champion()
        return lab

    yield build
    for one in made:
        one.clear()


def told(name, lab, outcome, clients, began):
    asked, failed = sum(clients.codes.values()), clients.failed
    print(f"{name}: {outcome.state} after {time.monotonic() - began:.1f} s, {asked} requests, {failed} failed; {outcome.reason}")


def roll_out(lab, strategy, **rules):
    """Plan and drive under live traffic; assert that no client noticed, and return the outcome and the clients."""
    with lab.clients() as clients:
        began = time.monotonic()
        outcome = lab.drive(lab.plan(strategy, **rules))
        told(strategy, lab, outcome, clients, began)
    assert clients.failed == 0, clients.problems[:5]
    return outcome, clients


def assert_promoted(lab, outcome):
    assert (outcome.state, lab.aliases) == ("promoted", {"champion": 8, "previous": 7})
    assert lab.target.read_back(MODEL) == {8: 100}
    assert (lab.desired().weights, lab.desired().champion, lab.servers()) == ({8: 100}, 8, ({8: lab.replicas}, 0))


def assert_went_back(lab, outcome, *checks):
    assert (outcome.state, lab.aliases) == ("rolled_back", {"champion": 7})
    assert any(f"{check} fail" in outcome.reason for check in checks), outcome.reason
    assert lab.target.read_back(MODEL) == {7: 100}
    assert (lab.desired().weights, lab.servers()) == ({7: 100}, ({7: lab.replicas}, 0))


def test_canary_walks_its_steps_to_promotion(lab):
    place = lab()
    outcome, clients = roll_out(place, "canary")
    assert_promoted(place, outcome)
    assert place.seen == [{7: 90, 8: 10}, {7: 50, 8: 50}, {7: 0, 8: 100}, {8: 100}]
    assert place.acts() == ["shift_traffic", "shift_traffic", "promote", "confirm"]
    assert clients.assigned["8"] > 120


def test_canary_that_fails_goes_back(lab):
    place = lab(fail=0.4)
    outcome, clients = roll_out(place, "canary")
    assert_went_back(place, outcome, "error_rate", "servers")
    assert place.acts() == ["shift_traffic", "roll_back"]
    assert clients.codes.keys() == {200}


def test_canary_beside_a_baseline_that_is_as_fresh(lab):
    place, beside = lab(), []

    def look():
        desired = place.desired()
        beside.append((desired.baseline.percent if desired.baseline else 0, desired.weights.get(8), place.servers()[1]))

    with place.clients() as clients:
        outcome = place.drive(place.plan("canary", concurrent_baseline=True), between=look)
    assert clients.failed == 0, clients.problems[:5]
    assert_promoted(place, outcome)
    assert {(10, 10, 1), (50, 50, 1)} <= set(beside)
    evidence = next(row for row in place.rt.ledger.read(MODEL, kind="rollout") if row["act"] == "shift_traffic")["evidence"]
    assert evidence["measurement"]["baseline_requests"] > 0


def test_blue_green_switches_once_keeps_the_old_one_and_removes_it(lab):
    place, kept = lab(), []
    with place.clients() as clients:
        outcome = place.drive(place.plan("blue_green", bake="2s"), between=lambda: kept.append(place.servers()[0]))
    assert clients.failed == 0, clients.problems[:5]
    assert_promoted(place, outcome)
    assert place.seen == [{7: 0, 8: 100}, {8: 100}]
    assert place.acts() == ["promote", "confirm"]
    assert {7: 1, 8: 1} in kept


def test_blue_green_looks_at_copied_requests_before_it_switches(lab):
    place = lab()
    outcome, _ = roll_out(place, "blue_green", blue_green={"mirror": 100, **SOON})
    assert_promoted(place, outcome)
    assert place.seen == [{7: 100, 8: 0}, {7: 0, 8: 100}, {8: 100}]
    assert place.acts() == ["shift_traffic", "promote", "confirm"]


def test_blue_green_that_fails_on_copies_never_gets_traffic(lab):
    place = lab(fail=0.5)
    outcome, clients = roll_out(place, "blue_green", blue_green={"mirror": 100, **SOON})
    assert_went_back(place, outcome, "error_rate", "servers")
    assert clients.assigned.keys() == {"7"}


def test_blue_green_that_fails_after_the_switch_is_switched_back(lab):
    place = lab(fail=0.5)
    outcome, _ = roll_out(place, "blue_green", bake="20s")
    assert_went_back(place, outcome, "error_rate", "servers")
    assert place.acts() == ["promote", "roll_back"]


def test_rolling_replaces_server_by_server(lab):
    place, counts = lab(replicas=3), []
    with place.clients() as clients:
        outcome = place.drive(place.plan("rolling"), between=lambda: counts.append(place.servers()[0]))
    assert clients.failed == 0, clients.problems[:5]
    assert_promoted(place, outcome)
    assert place.seen == [{7: 67, 8: 33}, {7: 33, 8: 67}, {7: 0, 8: 100}, {8: 100}]
    in_order = [one for number, one in enumerate(counts) if number == 0 or counts[number - 1] != one]
    assert in_order == [{7: 2, 8: 1}, {7: 1, 8: 2}, {7: 1, 8: 3}]


def test_rolling_that_fails_gives_the_champion_its_servers_back(lab):
    place = lab(replicas=3, delay_ms=120)
    outcome, _ = roll_out(place, "rolling")
    assert_went_back(place, outcome, "latency")


def test_direct_gives_all_at_once_provisionally(lab):
    place = lab()
    outcome, _ = roll_out(place, "direct")
    assert_promoted(place, outcome)
    assert place.acts() == ["promote", "confirm"]


def test_a_person_pauses_skips_and_aborts(lab):
    place = lab()
    with place.clients() as clients:
        rollout_id = place.plan("canary", steps=[{"percent": 10, **SOON}, {"percent": 50, "at_least": "1h", "requests": 10}])
        asked = {"pause": 1.5, "resume": 3.0, "skip": 0.0, "abort": 0.0}
        began = time.monotonic()

        def between():
            split = place.target.read_back(MODEL)
            due = next(iter(asked), None)
            if due is None or time.monotonic() - began < asked[due]:
                return
            if due == "skip" and split != {7: 50, 8: 50}:
                return
            steer(place.rt, MODEL, due, by="ada", reason=f"{due} under load", hands=place.hands)
            del asked[due]

        outcome = place.drive(rollout_id, between=between)
    assert clients.failed == 0, clients.problems[:5]
    assert (outcome.state, outcome.reason) == ("aborted", "ada asked to abort: abort under load")
    assert place.target.read_back(MODEL) == {7: 100}
    assert place.acts()[-1] == "abort"
    assert {"pause", "resume", "promote"} <= set(place.acts())
