"""What every Target must do, whatever it is made of: servers, splits, baselines, copies, sticky keys, and what it refuses.

A target joins by a fixture that gives a TargetLab; here the embedded one, on a real Envoy and a real supervisord.
"""

from __future__ import annotations

import http.client
import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from include.lifecycle.errors import GateFailedError, GatewayRejectedError, LifecycleError
from include.lifecycle.rollout.gateway import gateway
from include.lifecycle.rollout.gateway.traffic import Baseline, DesiredTraffic, Mirror, Server
from include.lifecycle.rollout.targets.base import Target
from tests.integration.rollout_stack import quick_target, running_stack, tiny_target, tiny_version

pytestmark = pytest.mark.integration
MODEL = "churn"


@dataclass
class TargetLab:
    """A target, a way to make versions for it, and the address that its clients ask."""

    rt: object
    target: Target
    port: int

    def serve(self, version, *, replicas=1, baseline=False, **behaviour):
        """Running servers of a version that behaves so."""
        folder, digest = tiny_version(self.rt, MODEL, version, **behaviour)
        logs = self.rt.storage.predictions(MODEL)
        ports = self.target.ensure_server(MODEL, version, folder, digest, logs, replicas=replicas, baseline=baseline)
        return Server(ports=ports, digest=digest, folder=str(folder))

    def apply(self, weights, servers, champion=1, **beside):
        """Ask for this traffic and wait until it is in force."""
        return self.target.apply(DesiredTraffic(model=MODEL, champion=champion, weights=weights, servers=servers, **beside))

    def ask(self, count=1, headers=None, path=f"/v2/models/{MODEL}/infer"):
        """(status, assigned version, arm, answering version) of `count` requests, one after the other."""
        connection, found = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15), []
        for number in range(count):
            told = {name: value.format(number) for name, value in (headers or {}).items()}
            connection.request("POST", path, b"{}", {"content-type": "application/json"} | told)
            response = connection.getresponse()
            response.read()
            said = response.headers
            found.append((response.status, said["x-modelops-assigned"], said["x-modelops-arm"], said["x-model-version"]))
        connection.close()
        return found

    def seen(self, server):
        """What these servers were asked, by port; their version must be recorded."""
        files = [Path(server.folder) / f"seen-{port}.jsonl" for port in server.ports]
        return [[json.loads(line) for line in file.read_text().splitlines()] if file.exists() else [] for file in files]


@pytest.fixture(scope="module")
def stack():
    with running_stack() as running:
        yield running


@pytest.fixture
def lab(stack, make_runtime):
    """The embedded target; its servers and traffic are cleared afterwards."""
    rt = make_runtime(**stack.environment)
    target = quick_target(rt)
    yield TargetLab(rt, target, stack.port)
    target.gateway.write(list)
    target.processes.stop([one for kind in (False, True) for one in target.processes.of(MODEL, baseline=kind)])


def test_the_number_of_servers_grows_and_shrinks(lab):
    first = lab.serve(1)
    three = lab.serve(1, replicas=3, record=True)
    assert three.ports[0] == first.ports[0]
    assert lab.target.servers(MODEL) == {1: three.ports}
    lab.apply({1: 100}, {1: three})
    assert Counter(status for status, *_ in lab.ask(60)) == {200: 60}
    with pytest.raises(LifecycleError, match="still belong to the traffic"):
        lab.serve(1, replicas=2, record=True)
    lab.apply({1: 100}, {1: three.model_copy(update={"ports": three.ports[:1]})})
    assert lab.serve(1, record=True).ports == three.ports[:1]
    assert lab.target.servers(MODEL) == {1: three.ports[:1]}


def test_all_servers_of_a_version_share_its_requests(lab):
    server = lab.serve(1, replicas=2, record=True)
    lab.apply({1: 100}, {1: server})
    lab.ask(40)
    assert all(len(requests) >= 10 for requests in lab.seen(server)), "the load balancer leaves a server out"


def test_a_server_that_serves_is_left_alone(lab):
    server = lab.serve(1, sick_after=3600)
    assert lab.serve(1, sick_after=1800).ports == server.ports
    folder, _ = tiny_version(lab.rt, MODEL, 1)
    again = lab.target.ensure_server(MODEL, 1, folder, "f" * 64, lab.rt.storage.predictions(MODEL))
    assert again == server.ports, "another digest starts anew on the same port"


def test_a_version_that_does_not_start_is_refused_in_words(lab):
    folder = lab.rt.storage.served(MODEL, 5)
    folder.mkdir(parents=True)
    with pytest.raises(GateFailedError, match=r"server-churn-5 is not ready .*behaviour.json"):
        tiny_target(lab.rt).ensure_server(MODEL, 5, folder, "0" * 64, lab.rt.storage.predictions(MODEL))


def test_traffic_goes_where_it_is_split(lab):
    servers = {version: lab.serve(version) for version in (1, 2)}
    revision = lab.apply({1: 80, 2: 20}, servers)
    assert (lab.apply({1: 80, 2: 20}, servers), lab.target.read_back(MODEL)) == (revision, {1: 80, 2: 20})
    answers = lab.ask(400)
    assert {(assigned, answered) for _, assigned, _, answered in answers} == {("1", "1"), ("2", "2")}
    assert 40 <= sum(assigned == "2" for _, assigned, *_ in answers) <= 130


def test_a_baseline_is_a_fresh_server_beside_the_champion(lab):
    servers = {version: lab.serve(version, record=True) for version in (1, 2)}
    fresh = lab.serve(1, baseline=True, record=True)
    assert fresh.ports != servers[1].ports
    assert (lab.target.servers(MODEL, baseline=True), set(lab.target.servers(MODEL))) == ({1: fresh.ports}, {1, 2})
    lab.apply({1: 80, 2: 20}, servers, baseline=Baseline(percent=20, server=fresh))
    assert lab.target.read_back(MODEL) == {1: 80, 2: 20}
    arms = Counter((assigned, arm) for _, assigned, arm, _ in lab.ask(400, {"x-modelops-arm": "forged"}))
    assert arms.keys() == {("1", None), ("1", "baseline"), ("2", None)}
    (asked,) = lab.seen(fresh)
    assert {(one["x-modelops-assigned"], one["x-modelops-arm"]) for one in asked} == {("1", "baseline")}
    assert len(asked) == arms["1", "baseline"] >= 40
    with pytest.raises(LifecycleError, match="server-churn-1-baseline still has 20 %"):
        lab.target.stop_server(MODEL, 1, baseline=True)
    lab.apply({1: 80, 2: 20}, servers)
    for _ in range(2):
        lab.target.stop_server(MODEL, 1, baseline=True)
    assert (lab.target.servers(MODEL, baseline=True), set(lab.target.servers(MODEL))) == ({}, {1, 2})


def test_a_dead_baseline_costs_no_client_anything(lab):
    servers = {version: lab.serve(version) for version in (1, 2)}
    fresh = lab.serve(1, baseline=True, refuse_after=2)
    lab.apply({1: 50, 2: 50}, servers, baseline=Baseline(percent=50, server=fresh))
    time.sleep(1.5)
    assert Counter(status for status, *_ in lab.ask(100)) == {200: 100}


def test_a_shadow_gets_copies_that_tell_what_they_are(lab):
    servers = {1: lab.serve(1), 2: lab.serve(2, record=True)}
    lab.apply({1: 100, 2: 0}, servers, mirror=Mirror(version=2, percent=100))
    answers = lab.ask(50, {"x-request-id": "request-{}"})
    assert set(answers) == {(200, "1", None, "1")}, "a copy's answer came to a client"
    time.sleep(0.5)
    (copies,) = lab.seen(servers[2])
    assert {one["x-request-id"] for one in copies} == {f"request-{number}" for number in range(50)}
    assert {(one["x-modelops-assigned"], one["x-modelops-arm"]) for one in copies} == {("1", "shadow")}
    assert not any(one["host"].endswith("-shadow") for one in copies)
    with pytest.raises(LifecycleError, match="still gets copies of 100 %"):
        lab.target.stop_server(MODEL, 2)
    lab.apply({1: 100}, {1: servers[1]})
    lab.target.stop_server(MODEL, 2)


def test_some_of_the_requests_are_copied(lab):
    servers = {1: lab.serve(1), 2: lab.serve(2, record=True)}
    lab.apply({1: 100, 2: 0}, servers, mirror=Mirror(version=2, percent=25))
    lab.ask(400)
    time.sleep(0.5)
    assert 60 <= len(lab.seen(servers[2])[0]) <= 140


def test_a_key_stays_with_its_arm_as_the_share_grows(lab):
    servers = {1: lab.serve(1, record=True), 2: lab.serve(2, record=True)}
    met = []
    for percent in (20, 20, 50):
        lab.apply({1: 100 - percent, 2: percent}, servers, sticky="x-user-id")
        met.append([assigned for _, assigned, *_ in lab.ask(200, {"x-user-id": "user-{}"})])
    assert met[0] == met[1]
    assert 20 <= met[0].count("2") <= 62
    assert 70 <= met[2].count("2") <= 130
    assert all(later == "2" for before, later in zip(met[1], met[2], strict=True) if before == "2"), "a key went back"
    assert {one["x-modelops-unit"].partition("-")[0] for one in lab.seen(servers[2])[0]} == {"user"}


def test_requests_without_a_key_are_outside_the_experiment(lab):
    servers = {1: lab.serve(1, record=True), 2: lab.serve(2)}
    lab.apply({1: 50, 2: 50}, servers, sticky="x-user-id")
    without = lab.ask(30) + lab.ask(30, {"x-user-id": "", "x-modelops-assigned": "2"})
    assert set(without) == {(200, None, "outside", "1")}
    assert {(one["x-modelops-assigned"], one["x-modelops-unit"]) for one in lab.seen(servers[1])[0]} == {(None, None)}


def test_another_experiment_gives_other_keys_to_the_challenger(lab):
    servers = {version: lab.serve(version) for version in (1, 2, 3)}
    met = []
    for challenger in (2, 3):
        kept = {version: servers[version] for version in (1, challenger)}
        lab.apply({1: 50, challenger: 50}, kept, sticky="x-user-id")
        met.append([assigned != "1" for _, assigned, *_ in lab.ask(200, {"x-user-id": "user-{}"})])
    same = sum(first == second for first, second in zip(*met, strict=True))
    assert 65 <= same <= 135, "who met the first challenger is not to meet the second one for that"


def test_one_version_by_its_path_belongs_to_no_arm(lab):
    servers = {1: lab.serve(1), 2: lab.serve(2, record=True)}
    lab.apply({1: 100, 2: 0}, servers)
    forged = {"x-modelops-assigned": "1", "x-modelops-arm": "baseline", "x-modelops-unit": "somebody"}
    assert lab.ask(1, forged, f"/v2/models/{MODEL}/versions/2/infer") == [(200, None, None, "2")]
    assert {(one["x-modelops-assigned"], one["x-modelops-arm"]) for one in lab.seen(servers[2])[0]} == {(None, None)}


def test_what_is_sick_gets_no_traffic_and_nothing_changes(lab, monkeypatch):
    servers = {1: lab.serve(1)}
    lab.apply({1: 100}, servers)
    monkeypatch.setattr(gateway, "READ_BACK_SECONDS", 1.0)  # patience enough for what is never ready
    dead = Server(port=9, digest="0", folder="/nowhere")
    for weights, more in (({1: 50, 2: 50}, {}), ({1: 100, 2: 0}, {"mirror": Mirror(version=2, percent=10)})):
        with pytest.raises(GatewayRejectedError, match=r"churn-2.*port 9"):
            lab.apply(weights, servers | {2: dead}, **more)
    with pytest.raises(GatewayRejectedError, match=r"churn-1 \(port 9\)"):
        lab.apply({1: 100}, {1: servers[1].model_copy(update={"ports": (*servers[1].ports, 9)})})
    assert (lab.target.read_back(MODEL), set(lab.ask(20))) == ({1: 100}, {(200, "1", None, "1")})


def test_a_server_with_traffic_is_not_stopped(lab):
    servers = {1: lab.serve(1)}
    lab.apply({1: 100}, servers)
    with pytest.raises(LifecycleError, match="still has 100 % of the traffic"):
        lab.target.stop_server(MODEL, 1)


def test_stopping_twice_and_stopping_nothing(lab):
    lab.serve(3, replicas=2)
    assert lab.target.idle_servers(MODEL, -1) == {3}
    for _ in range(2):
        lab.target.stop_server(MODEL, 3)
    assert (lab.target.servers(MODEL), lab.target.idle_servers(MODEL, -1)) == ({}, set())


def test_a_guard_may_refuse_and_nothing_is_stored(lab):
    def refuse(connection):
        raise LifecycleError("not any more")

    servers = {1: lab.serve(1)}
    revision = lab.apply({1: 100}, servers)
    other = DesiredTraffic(model=MODEL, champion=None, weights={1: 100}, servers=servers)
    with pytest.raises(LifecycleError, match="not any more"):
        lab.target.apply(other, refuse)
    assert lab.apply({1: 100}, servers) == revision
