"""Gateway files and servers on the real Envoy and supervisord: read back, refused, killed, restarted."""

import json
import os
import signal
import time
import xmlrpc.client
from dataclasses import replace
from functools import partial

import httpx
import pytest
from supervisor.xmlrpc import SupervisorTransport

from include.lifecycle.database import transaction
from include.lifecycle.errors import GatewayRejectedError, SourceUnavailableError
from include.lifecycle.rollout.gateway.traffic import DesiredTraffic, Server, read_desired
from tests.integration.rollout_stack import Clients, tiny_target, tiny_version, wait_for

pytestmark = pytest.mark.integration
PATH = "/v2/models/churn/infer"


@pytest.fixture
def place(stack, make_runtime):
    """A Runtime on the stack and its target; servers and traffic are cleared afterwards."""
    rt = make_runtime(**stack.environment)
    target = tiny_target(rt)
    yield rt, target
    target.gateway.write(list)
    for version in list(target.servers("churn")):
        target.supervisor.remove(f"server-churn-{version}")


def serve(rt, target, version, **behaviour):
    folder, digest = tiny_version(rt, "churn", version, **behaviour)
    ports = target.ensure_server("churn", version, folder, digest, rt.storage.predictions("churn"))
    return Server(ports=ports, digest=digest, folder=str(folder))


def traffic(weights, servers, champion):
    return DesiredTraffic(model="churn", champion=champion, weights=weights, servers=servers)


def pid_of(stack, version):
    transport = SupervisorTransport(None, None, f"unix://{stack.root}/s.sock")
    proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
    return proxy.supervisor.getProcessInfo(f"server-churn-{version}")["pid"]


def test_weights_count_when_envoy_reports_them(place):
    rt, target = place
    servers = {version: serve(rt, target, version) for version in (1, 2)}
    assert target.apply(traffic({1: 100}, {1: servers[1]}, 1)) == 1
    began = time.perf_counter()
    assert target.apply(traffic({1: 90, 2: 10}, servers, 1)) == 2
    print(f"shift with a new cluster: {(time.perf_counter() - began) * 1000:.0f} ms")
    assert target.read_back("churn") == {1: 90, 2: 10}
    assert target.apply(traffic({1: 90, 2: 10}, servers, 1)) == 2
    with transaction(rt.engine) as connection:
        assert read_desired(connection, "churn").applied
    assert target.gateway.admin.active_clusters() == {"churn-1", "churn-2", "churn-2-or-1"}
    target.apply(traffic({2: 100}, {2: servers[2]}, 2))
    assert target.gateway.admin.active_clusters() == {"churn-2"}


def test_ensure_server_is_idempotent_and_follows_the_digest(place, stack):
    rt, target = place
    first = serve(rt, target, 1)
    pid = pid_of(stack, 1)
    assert serve(rt, target, 1) == first
    assert pid_of(stack, 1) == pid
    folder, _ = tiny_version(rt, "churn", 1)
    assert target.ensure_server("churn", 1, folder, "f" * 64, rt.storage.predictions("churn")) == first.ports
    assert pid_of(stack, 1) != pid


def test_sick_server_is_refused_and_old_traffic_stays(place):
    rt, target = place
    servers = {1: serve(rt, target, 1)}
    target.apply(traffic({1: 100}, servers, 1))
    dead = servers | {2: Server(port=9, digest="0", folder="/nowhere")}
    with pytest.raises(GatewayRejectedError, match="churn-2"):
        target.apply(traffic({1: 50, 2: 50}, dead, 1))
    assert target.read_back("churn") == {1: 100}
    with transaction(rt.engine) as connection:
        assert read_desired(connection, "churn").weights == {1: 100}
    assert target.apply(traffic({1: 100}, servers, 1)) == 3


def test_refused_routes_leave_the_old_ones(place, monkeypatch):
    rt, target = place
    servers = {1: serve(rt, target, 1)}
    target.apply(traffic({1: 100}, servers, 1))
    from include.lifecycle.rollout.gateway import gateway

    text = json.dumps(gateway.render_routes([traffic({1: 100}, servers, 1)], target.gateway.timeouts)).replace(
        "churn-1", "no-such-cluster"
    )
    monkeypatch.setattr(gateway, "render_routes", lambda rows, timeouts: json.loads(text))
    before = (target.gateway.directory / "rds.json").read_bytes()
    with pytest.raises(GatewayRejectedError, match="refused"):
        target.apply(traffic({1: 100}, servers, None))
    assert (target.gateway.directory / "rds.json").read_bytes() == before
    assert target.read_back("churn") == {1: 100}


def test_gateway_down_is_retryable_and_a_restart_brings_the_traffic_back(place, stack):
    rt, target = place
    servers = {1: serve(rt, target, 1)}
    target.apply(traffic({1: 100}, servers, 1))
    stack.stop_gateway()
    with pytest.raises(SourceUnavailableError, match="gateway admin"):
        target.apply(traffic({1: 100}, servers, None))
    stack.start_gateway()
    assert target.read_back("churn") == {1: 100}
    assert target.apply(traffic({1: 100}, servers, None)) == 2


def test_rotation_of_the_access_log_loses_no_line(place, stack):
    rt, target = place
    from include.lifecycle.rollout import reconcile
    from include.lifecycle.rollout.gateway.access_log import end_of, read_lines

    target.apply(traffic({1: 100}, {1: serve(rt, target, 1)}, 1))
    upkeep = replace(rt.settings.upkeep, log_bytes=1)
    rt = replace(rt, settings=replace(rt.settings, upkeep=upkeep))
    log, lines = rt.settings.gateway_log, []
    position = end_of(log)

    def inode_after_reading():
        nonlocal position
        found, position = read_lines(log, position)
        lines.extend(found)
        return position.inode

    def on_new_log(*old):
        return inode_after_reading() not in (0, *old)

    with Clients(stack.port, PATH, pause=0.005) as clients:
        for _ in range(3):
            wait_for(lambda: log.exists() and log.stat().st_size > 1, "lines to rotate")
            assert reconcile.reconcile(rt, []) == ["gateway: access log rotated"]
            wait_for(partial(on_new_log, position.inode), "the reader to come to the new log")
        log.replace(log.with_name(f"{log.name}.1"))  # and upkeep was killed here
        time.sleep(0.5)
        assert not log.exists()
        assert reconcile.reconcile(rt, []) == ["gateway: access log was renamed but not opened anew; done now"]
        wait_for(log.exists, "the access log")
    asked = sum(clients.codes.values())
    wait_for(lambda: inode_after_reading() and len(lines) >= asked, "the lines of all requests")
    time.sleep(0.6)  # a line too many would come by now
    inode_after_reading()
    assert len(lines) == asked


def test_kill_of_the_only_canary_server_fails_no_client(place, stack):
    rt, target = place
    servers = {version: serve(rt, target, version) for version in (1, 2)}
    target.apply(traffic({1: 50, 2: 50}, servers, 1))
    with Clients(stack.port, PATH, count=8, pause=0.005) as clients:
        wait_for(lambda: clients.assigned["2"] > 100, "traffic")
        for _ in range(3):
            os.kill(pid_of(stack, 2), signal.SIGKILL)
            time.sleep(2.5)
    print(f"kill -9 of the canary three times: {sum(clients.codes.values())} requests, {clients.failed} failed")
    assert clients.failed == 0, clients.problems[:5]
    assert sum(clients.codes.values()) > 500


def test_only_server_is_asked_although_it_misses_its_health_checks(place, stack):
    rt, target = place
    servers = {1: serve(rt, target, 1, sick_after=2)}
    target.apply(traffic({1: 100}, servers, 1))
    healthy = f"http://127.0.0.1:{stack.admin_port}/stats?filter=cluster.churn-1.membership_healthy"
    wait_for(lambda: httpx.get(healthy).text.strip().endswith(": 0"), "the gateway to call it unhealthy")
    with Clients(stack.port, PATH, count=4, pause=0.01) as clients:
        time.sleep(1)
    assert clients.failed == 0, clients.problems[:5]
    assert sum(clients.codes.values()) > 50


def test_shifting_back_and_forth_fails_no_client(place, stack):
    rt, target = place
    servers = {version: serve(rt, target, version) for version in (1, 2)}
    target.apply(traffic({1: 100}, {1: servers[1]}, 1))
    took = []
    with Clients(stack.port, PATH, count=8, pause=0.005) as clients:
        for round_number in range(20):
            began = time.perf_counter()
            both = round_number % 2 == 0
            target.apply(traffic({1: 50, 2: 50} if both else {1: 100}, servers if both else {1: servers[1]}, 1))
            took.append((time.perf_counter() - began) * 1000)
    took.sort()
    print(f"20 shifts: p50 {took[10]:.0f} ms, max {took[-1]:.0f} ms; {clients.codes}")
    assert clients.failed == 0, clients.problems[:5]
