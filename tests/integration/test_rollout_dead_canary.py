"""A canary that fails everything is found within seconds on a real Envoy, however little traffic it has; a slow start is not."""

import json
import time

import pytest

from include.lifecycle.database import transaction
from include.lifecycle.rollout.driver import drive_once
from include.lifecycle.rollout.lease import rollout_row
from include.lifecycle.rollout.states import Plan, State, Status
from include.lifecycle.rollout.watchdog.journal import CanaryLease
from include.lifecycle.rollout.watchdog.judge import Watch
from include.lifecycle.storage import write_whole
from tests.integration.rollout_stack import Clients
from tests.integration.strategy_lab import MODEL, Lab

pytestmark = pytest.mark.integration
LONG = {"percent": 10, "at_least": "10m", "requests": 5000}


@pytest.fixture
def lab(stack, make_runtime):
    made = []

    def build(**behaviour):
        one = Lab(make_runtime(**stack.environment), stack.port, 1, behaviour)
        made.append(one)
        (one.rt.storage.served(MODEL, 8) / "broken.json").unlink(missing_ok=True)
        one.serve_champion()
        return one

    yield build
    for one in made:
        one.clear()


def twenty_a_second(**how):
    """Two requests a second go to the canary of a tenth; enough clients that a hanging one does not slow the others."""
    return Clients(0, f"/v2/models/{MODEL}/infer", **{"count": 8, "pause": 0.4} | how)


def broken(lab, **how):
    """From now on version 8's servers behave like this."""
    write_whole(lab.rt.storage.served(MODEL, 8) / "broken.json", json.dumps(how))


def drive(lab, rollout_id, looks):
    """Look about once a second, as the triggerer does; the outcome, or None when it still goes on after so many looks."""
    for _ in range(looks):
        began = time.monotonic()
        if (outcome := drive_once(lab.rt, rollout_id, "test", hands=lab.hands)) is not None:
            return outcome
        time.sleep(max(0.0, 1.0 - (time.monotonic() - began)))
    return None


def in_its_step(lab, floor="5s"):
    """Plan a canary, give it its tenth, and look at it for some seconds of traffic."""
    rollout_id = lab.plan("canary", steps=[LONG], limits={"latency_ratio": 50.0, "latency_floor": floor})
    drive_once(lab.rt, rollout_id, "test", hands=lab.hands)
    assert lab.target.read_back(MODEL) == {7: 90, 8: 10}
    assert drive(lab, rollout_id, 4) is None, "a good canary goes on"
    return rollout_id


def status_of(lab, rollout_id):
    with transaction(lab.rt.engine) as connection:
        return Status.model_validate(rollout_row(connection, rollout_id)["status"])


@pytest.mark.parametrize("how", [{"fail": 1.0}, {"refuse": True}, {"hang": True}], ids=["5xx", "refused", "hanging"])
def test_a_canary_that_fails_everything_is_found_within_seconds(lab, stack, how):
    place, clients = lab(), twenty_a_second()
    clients.port = stack.port
    with clients:
        rollout_id = in_its_step(place)
        breach = time.time()
        broken(place, **how)
        outcome = drive(place, rollout_id, 10)  # 3 s on a machine with time for it (docs/rollout-analysis.md)
    assert outcome, "not found in ten looks"
    assert outcome.state == "rolled_back"
    intended = next(row for row in place.rt.ledger.read(MODEL, kind="rollout") if row["phase"] == "intended")
    found = intended["wall_at"].timestamp() - breach
    print(f"{how}: found after {found:.2f} s: {outcome.reason}")
    assert place.target.read_back(MODEL) == {7: 100}
    hung = "hang" in how  # what hangs when the canary's servers are stopped has nobody left to answer it
    assert clients.failed <= (8 if hung else 0), clients.problems[:3]
    assert "servers fail" in outcome.reason or "error_rate fail" in outcome.reason


@pytest.mark.parametrize("floor", ["100ms", "5s"])
def test_a_canary_that_clients_give_up_on_is_found_too(lab, stack, floor):
    """They leave after 0.8 s, before the gateway tries another server: no failed answer ever tells of the canary.

    With the long floor no limit counts them as failures, either: the silence while others are answered does, or the comparison.
    """
    place, clients = lab(), twenty_a_second(count=16, pause=0.8, patience=0.8)
    clients.port = stack.port
    with clients:
        rollout_id = in_its_step(place, floor)
        breach = time.time()
        broken(place, hang=True)
        outcome = drive(place, rollout_id, 20)
    assert outcome.state == "rolled_back"
    intended = next(row for row in place.rt.ledger.read(MODEL, kind="rollout") if row["phase"] == "intended")
    found = intended["wall_at"].timestamp() - breach
    print(f"impatient clients: found after {found:.2f} s: {outcome.reason}")
    assert "servers fail" in outcome.reason or "error_rate fail" in outcome.reason
    assert found < (6 if floor == "100ms" else 14)


def test_the_watchdog_sees_requests_that_nobody_answered(lab, stack):
    """Nobody drives: the watchdog's own count of the gateway's log finds the same canary."""
    place, clients, watch = lab(), twenty_a_second(count=16, pause=0.8, patience=0.8), Watch()
    clients.port = stack.port
    with clients:
        rollout_id = in_its_step(place, "100ms")
        with transaction(place.rt.engine) as connection:
            plan = Plan.model_validate(rollout_row(connection, rollout_id)["plan"])
        lease = CanaryLease(rollout_id=rollout_id, epoch=1, until=time.time() + 60, state=State.RUNNING, plan=plan)
        ports = place.target.servers(MODEL)
        watch.follow(lease, 10, place.rt.settings.gateway_log, ports)
        broken(place, hang=True)
        deadline, why = time.monotonic() + 15, ""
        while not why and time.monotonic() < deadline:
            time.sleep(0.5)
            watch.follow(lease, 10, place.rt.settings.gateway_log, ports)
            why = watch.why_broken(lease, time.time(), grace=0.0)
    assert "requests failed in a row" in why or "error_rate fail" in why


def test_a_slow_start_is_not_death(lab, stack):
    """Answers of nine tenths of a second, two of them under way at once now and then: the rollout goes on."""
    place, clients = lab(delay_ms=900), twenty_a_second()
    clients.port = stack.port
    with clients:
        rollout_id = in_its_step(place)
        assert drive(place, rollout_id, 3) is None
    seen = status_of(place, rollout_id).measurement
    assert (seen.gateway.challenger.healthy, seen.silent) == (1, {})
    assert seen.gateway.challenger.ended >= 5
    assert seen.usage["challenger"].memory > 0
    assert seen.times["challenger"].quantile(0.99) > 500_000
