"""The watchdog on the real Envoy: a dead driver, a dead database, a broken limit, a dead server, each under live traffic."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from sqlalchemy import select

from include.lifecycle.database import transaction
from include.lifecycle.errors import GateFailedError
from include.lifecycle.rollout.driver import drive_once
from include.lifecycle.rollout.gateway.traffic import DesiredTraffic, Server, read_desired
from include.lifecycle.rollout.reconcile import reconcile
from include.lifecycle.rollout.states import State, Status
from include.lifecycle.rollout.watchdog.health import GAUGES
from include.lifecycle.rollout.watchdog.journal import JOURNAL, renew, returned
from include.lifecycle.rollout.watchdog.process import Watchdog
from include.lifecycle.runtime import build_runtime
from include.lifecycle.tables import rollouts
from include.settings import load_settings
from tests.integration.canary_driver import tiny_hands
from tests.integration.own_postgres import own_postgres
from tests.integration.rollout_stack import Clients, tiny_target, tiny_version, wait_for
from tests.unit.lifecycle.rollout.test_machine import plan_of

pytestmark = pytest.mark.integration
MODEL, PATH = "churn", "/v2/models/churn/infer"
LEASE = 3.0


@pytest.fixture
def place(stack, make_runtime):
    """A Runtime on the stack; servers and traffic are cleared afterwards."""
    rt = make_runtime(**stack.environment, MODELOPS_WATCHDOG_GRACE="1s", MODELOPS_DOWN_AFTER="1s")
    yield rt
    clear(rt)


def clear(rt):
    target = tiny_target(rt)
    target.gateway.write(list)
    for version in (7, 8):
        target.supervisor.remove(f"server-{MODEL}-{version}")


def serve(rt, version, **behaviour):
    folder, digest = tiny_version(rt, MODEL, version, **behaviour)
    ports = tiny_target(rt).ensure_server(MODEL, version, folder, digest, rt.storage.predictions(MODEL))
    return Server(ports=ports, digest=digest, folder=str(folder))


def split(rt, share, **behaviour):
    """Version 8 gets `share` percent beside champion 7."""
    servers = {7: serve(rt, 7), 8: serve(rt, 8, **behaviour)}
    target = tiny_target(rt)
    target.apply(DesiredTraffic(model=MODEL, champion=7, weights={7: 100}, servers={7: servers[7]}))
    target.apply(DesiredTraffic(model=MODEL, champion=7, weights={7: 100 - share, 8: share}, servers=servers))
    return target


def plan(**changes):
    steps = [{"percent": 50, "at_least": "10m", "requests": 100_000}]
    return plan_of(**{"steps": steps, "lease": f"{LEASE:.0f}s", "poll": "200ms", **changes})


def open_rollout(rt, agreed):
    row = {"model": MODEL, "version": 8, "champion": 7, "strategy": "canary", "created_at": rt.clock.now()}
    row |= {"plan": agreed.model_dump(mode="json"), "status": Status().model_dump(mode="json")}
    with transaction(rt.engine) as connection:
        return connection.execute(rollouts.insert().values(row).returning(rollouts.c.id)).scalar_one()


def journal(rt):
    path = rt.settings.gateway_dir / JOURNAL
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


@contextmanager
def watching(rt):
    """The watchdog's looks in a thread."""
    watchdog, stop = Watchdog(rt.settings), threading.Event()

    def run():
        while not stop.wait(0.1):
            watchdog.look()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield watchdog
    finally:
        stop.set()
        thread.join(timeout=20)


@contextmanager
def process(environment, module, *arguments):
    command = [sys.executable, "-m", module, *arguments]
    running = subprocess.Popen(command, env=os.environ | environment, start_new_session=True)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def test_driver_and_database_die_at_half_the_traffic(stack):
    with own_postgres() as database:
        environment = stack.environment | database.environment | {"MODELOPS_WATCHDOG_POLL": "200ms"}
        rt = build_runtime(load_settings(environment))
        target = tiny_target(rt)
        tiny_version(rt, MODEL, 7)
        tiny_version(rt, MODEL, 8, fail=0.04)  # sick, but within its limits: nothing but the lapsed lease speaks against it
        target.apply(DesiredTraffic(model=MODEL, champion=7, weights={7: 100}, servers={7: serve(rt, 7)}))
        tiny_version(rt, MODEL, 8, fail=0.04)
        rollout = open_rollout(rt, plan())
        with (
            process(environment, "include.lifecycle.rollout.watchdog.process"),
            process(environment, "tests.integration.canary_driver", str(rollout)) as driver,
            Clients(stack.port, PATH, count=4, pause=0.02) as clients,
        ):
            wait_for(lambda: target.read_back(MODEL).get(8) == 50, "half the traffic")
            time.sleep(1.0)  # the lease is renewed all the while
            assert target.read_back(MODEL) == {7: 50, 8: 50}
            driver.send_signal(signal.SIGKILL)
            killed = time.monotonic()
            database.stop()
            wait_for(lambda: not target.read_back(MODEL).get(8), "traffic at the champion", seconds=LEASE + 2)
            took = time.monotonic() - killed
            database.start()
            rt.engine.dispose()
            # whoever writes the gateway's files now, for whatever model, gives the version nothing
            target.gateway.write(target._rows)
            assert target.read_back(MODEL) == {7: 100, 8: 0}
            with pytest.raises(GateFailedError, match="the watchdog took the traffic"):
                target.apply(desired_of(rt))
            said = reconcile(rt, [MODEL], hands=tiny_hands(rt))
            assert [one for one in said if one.startswith(f"rollout {rollout}: driven after its lease")], said
        print(f"killed driver and database: {took:.1f} s to 0 % (lease {LEASE:g} s); {clients.codes}")
        assert clients.failed == 0, clients.problems[:5]
        with transaction(rt.engine) as connection:
            row = connection.execute(select(rollouts)).mappings().one()
        assert row["state"] == State.ROLLED_BACK
        assert "the watchdog returned the traffic: nobody drives" in row["reason"]
        assert (desired_of(rt).weights, set(target.servers(MODEL))) == ({7: 100}, {7})
        assert returned(rt.settings.gateway_dir, MODEL) is None
        acts = [(one["kind"], one["act"]) for one in rt.ledger.read(MODEL) if one["actor"] == "watchdog"]
        assert ("rollout", "returned") in acts
        clear(rt)


def desired_of(rt):
    with transaction(rt.engine) as connection:
        return read_desired(connection, MODEL)


def test_a_broken_limit_is_acted_upon_although_the_lease_holds(place, stack):
    rt = place
    target = split(rt, 50, fail=0.6)
    renew(rt.settings, plan(), 1, 1, until=time.time() + 600, state=State.RUNNING)
    with watching(rt), Clients(stack.port, PATH, count=4, pause=0.01) as clients:
        began = time.monotonic()
        wait_for(lambda: not target.read_back(MODEL).get(8), "traffic at the champion", seconds=15)
        took = time.monotonic() - began
    print(f"a canary that fails 60 %: {took:.1f} s to 0 %, {clients.codes}")
    assert "error_rate fail" in returned(rt.settings.gateway_dir, MODEL).reason
    assert clients.failed == 0, clients.problems[:5]
    done = [one for one in journal(rt) if one["act"] == "returned"]
    assert done[-1]["version"] == 8


def test_a_bake_is_not_ended_by_a_lapsed_lease_but_by_a_broken_limit(place, stack):
    rt = place
    target = split(rt, 100, fail=0.6)
    renew(rt.settings, plan(), 2, 1, until=time.time() - 60, state=State.BAKING)
    with watching(rt):
        time.sleep(1)
        assert target.read_back(MODEL) == {7: 0, 8: 100}
        with Clients(stack.port, PATH, count=4, pause=0.01) as clients:
            wait_for(lambda: not target.read_back(MODEL).get(8), "traffic at the old champion", seconds=15)
    assert clients.failed == 0, clients.problems[:5]


def test_what_was_returned_is_enforced_and_ends_with_the_row(place):
    rt = place
    target = split(rt, 50)
    renew(rt.settings, plan(), 3, 1, until=time.time() - 60, state=State.RUNNING)
    Watchdog(rt.settings).look()
    assert target.read_back(MODEL) == {7: 100, 8: 0}
    files = rt.settings.gateway_dir / "rds.json"
    forged = json.loads(files.read_text())
    for route in [one for one in forged["resources"][0]["virtual_hosts"][0]["routes"] if one["name"] == MODEL]:
        for arm in route["route"]["weighted_clusters"]["clusters"]:
            arm["weight"] = 50
    forged["version_info"] = "by hand"
    temporary = files.with_suffix(".new")
    temporary.write_text(json.dumps(forged))
    temporary.replace(files)
    wait_for(lambda: target.read_back(MODEL) == {7: 50, 8: 50}, "weights by hand")
    Watchdog(rt.settings).look()
    wait_for(lambda: target.read_back(MODEL) == {7: 100, 8: 0}, "the champion again")
    desired = desired_of(rt)
    target.apply(desired.model_copy(update={"weights": {7: 100}, "servers": {7: desired.servers[7]}}))
    assert returned(rt.settings.gateway_dir, MODEL) is None
    assert target.apply(desired.model_copy(update={"revision": 0})) > desired.revision  # a later rollout of it is free again
    assert target.read_back(MODEL) == {7: 50, 8: 50}


def test_a_model_without_a_healthy_server_is_told_once(place, stack):
    rt = place
    target = tiny_target(rt)
    target.apply(DesiredTraffic(model=MODEL, champion=7, weights={7: 100}, servers={7: serve(rt, 7)}))
    before = len(journal(rt))
    with watching(rt):
        with target.supervisor._calls() as calls:
            calls.stopProcess(f"server-{MODEL}-7", True)
        wait_for(lambda: "model_down" in [one["act"] for one in journal(rt)[before:]], "the P0")
        assert f'modelops_model_down{{model="{MODEL}"}} 1' in (rt.settings.gateway_dir / GAUGES).read_text()
        with target.supervisor._calls() as calls:
            calls.startProcess(f"server-{MODEL}-7", True)
        wait_for(lambda: "model_up" in [one["act"] for one in journal(rt)[before:]], "its return")
    assert [one["act"] for one in journal(rt)[before:]] == ["model_down", "model_up"]
    reconcile(rt, [MODEL], hands=tiny_hands(rt))
    reconcile(rt, [MODEL], hands=tiny_hands(rt))
    (alert,) = [one for one in rt.ledger.read(MODEL, kind="alert") if one["act"] == "model_down"]
    assert alert["evidence"]["severity"] == "P0"


def test_the_driver_sees_what_the_watchdog_did(place):
    rt = place
    target = tiny_target(rt)
    tiny_version(rt, MODEL, 8)
    target.apply(DesiredTraffic(model=MODEL, champion=7, weights={7: 100}, servers={7: serve(rt, 7)}))
    rollout = open_rollout(rt, plan(lease="100ms"))
    drive_once(rt, rollout, "driver", hands=tiny_hands(rt))
    assert target.read_back(MODEL) == {7: 50, 8: 50}
    time.sleep(0.2)
    watchdog = Watchdog(rt.settings)
    wait_for(lambda: watchdog.look() or not target.read_back(MODEL).get(8), "the return")
    assert drive_once(rt, rollout, "driver", hands=tiny_hands(rt)).state == State.ROLLED_BACK
    assert (target.read_back(MODEL), set(target.servers(MODEL))) == ({7: 100}, {7})
