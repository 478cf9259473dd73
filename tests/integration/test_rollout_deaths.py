"""What dies in the middle of a rollout under live traffic, and what clients notice: database, driver, gateway, server."""

import os
import signal
import time

import pytest
from sqlalchemy import select

from include.lifecycle.database import transaction
from include.lifecycle.rollout.gateway.traffic import DesiredTraffic, Server
from include.lifecycle.rollout.states import State, Status
from include.lifecycle.runtime import build_runtime
from include.lifecycle.tables import rollouts
from include.settings import load_settings
from tests.integration.own_postgres import own_postgres
from tests.integration.rollout_stack import Clients, tiny_target, tiny_version, wait_for
from tests.integration.test_watchdog import MODEL, PATH, open_rollout, plan, process

pytestmark = pytest.mark.integration
STEPS = [{"percent": share, "at_least": "1s", "requests": 60} for share in (20, 50)]


@pytest.fixture
def lab(stack):
    """A champion with all traffic, a database of its own, and the environment of a driver."""
    with own_postgres() as database:
        environment = stack.environment | database.environment
        rt = build_runtime(load_settings(environment))
        target = tiny_target(rt)
        folder, digest = tiny_version(rt, MODEL, 7)
        tiny_version(rt, MODEL, 8)
        ports = target.ensure_server(MODEL, 7, folder, digest, rt.storage.predictions(MODEL))
        server = Server(ports=ports, digest=digest, folder=str(folder))
        target.apply(DesiredTraffic(model=MODEL, champion=7, weights={7: 100}, servers={7: server}))
        yield rt, target, database, environment
        rt.engine.dispose()
        target.gateway.write(list)
        for version in (7, 8):
            target.supervisor.remove(f"server-{MODEL}-{version}")


def state_of(rt):
    with transaction(rt.engine) as connection:
        row = connection.execute(select(rollouts.c.state, rollouts.c.status)).one()
    return State(row.state), Status.model_validate(row.status)


def pid_of(target, version):
    with target.supervisor._calls() as calls:
        return calls.getProcessInfo(f"server-{MODEL}-{version}")["pid"]


def gateway_pid(stack):
    with stack.supervisor._calls() as calls:
        return calls.getProcessInfo("gateway")["pid"]


def test_database_driver_and_server_die_and_the_rollout_is_promoted_all_the_same(lab, stack):
    rt, target, database, environment = lab
    rollout = open_rollout(rt, plan(steps=STEPS, bake="1s", lease="2s"))
    module = "tests.integration.canary_driver"
    with Clients(stack.port, PATH, count=4, pause=0.01) as clients:
        with process(environment, module, str(rollout)) as first:
            wait_for(lambda: target.read_back(MODEL).get(8) == 20, "the first step")
            database.stop()  # in the middle of the step
            time.sleep(1.5)
            database.start()
            rt.engine.dispose()
            wait_for(lambda: target.read_back(MODEL).get(8) == 50, "the second step", seconds=30)
            first.send_signal(signal.SIGKILL)
        os.kill(pid_of(target, 8), signal.SIGKILL)
        with process(environment, module, str(rollout), "successor"):
            wait_for(lambda: not state_of(rt)[0].is_open, "the rollout's end", seconds=60)
    ended, status = state_of(rt)
    print(f"database, driver and canary killed: {ended}, {status.reason}; {clients.codes}")
    assert clients.failed == 0, clients.problems[:5]
    # the killed canary's requests were rescued and count as its errors: it may be promoted or sent back, never anything between
    expected = {State.PROMOTED: {8: 100}, State.ROLLED_BACK: {7: 100}}[ended]
    assert (target.read_back(MODEL), set(target.servers(MODEL))) == (expected, set(expected))


def test_gateway_is_killed_in_a_step_and_the_rollout_goes_on(lab, stack):
    rt, target, _, environment = lab
    rollout = open_rollout(rt, plan(steps=STEPS, bake="1s"))
    with (
        process(environment, "tests.integration.canary_driver", str(rollout)),
        Clients(stack.port, PATH, count=4, pause=0.01) as clients,
    ):
        wait_for(lambda: target.read_back(MODEL).get(8) == 20, "the first step")
        down = time.monotonic()
        os.kill(gateway_pid(stack), signal.SIGKILL)  # supervisord starts it again
        wait_for(lambda: target.read_back(MODEL).get(8, 0) >= 20, "the gateway again")
        outage = time.monotonic() - down
        wait_for(lambda: not state_of(rt)[0].is_open, "the rollout's end", seconds=60)
    print(f"gateway killed: {outage:.2f} s without one; {clients.codes}; {state_of(rt)[0]}")
    assert clients.failed <= clients.count * (outage + 1) / 0.01
    assert clients.codes[200] > 100
    assert state_of(rt)[0] is State.PROMOTED
    assert target.read_back(MODEL) == {8: 100}
