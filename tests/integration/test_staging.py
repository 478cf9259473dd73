"""The tests before traffic, on a real model server and on one that answers everything."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from include.lifecycle.database import transaction
from include.lifecycle.errors import GateFailedError, SourceUnavailableError
from include.lifecycle.loading import load_model
from include.lifecycle.results import PlannedRollout
from include.lifecycle.rollout.before_traffic.probes import read_golden
from include.lifecycle.rollout.before_traffic.probes import request_body as golden_body
from include.lifecycle.rollout.before_traffic.serving_check import check_serving
from include.lifecycle.rollout.before_traffic.staging import bad_requests, staging_tests
from include.lifecycle.rollout.states import Status
from include.lifecycle.runtime import RunContext
from include.lifecycle.sections.staging import StagingSection
from include.lifecycle.tables import rollouts
from tests.conftest import free_port
from tests.integration import tiny_server
from tests.unit.lifecycle.rollout.conftest import World
from tests.unit.lifecycle.rollout.test_machine import plan_of
from tests.unit.serving.folders import build_folder
from tests.unit.serving.running import eventually, running_server

pytestmark = pytest.mark.integration
RULES = StagingSection(latency_budget=timedelta(milliseconds=250), requests=30)


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    folder = tmp_path_factory.mktemp("version") / "3"
    return folder, build_folder(folder)


def found(port, folder, rules=RULES):
    tests = staging_tests(port, "flights", 3, golden_body(read_golden(folder)), rules)
    return {one.check: (one.outcome.value, one.reason) for one in tests}


def test_a_good_server_passes(version, tmp_path):
    with running_server(*version, tmp_path / "log") as server:
        tests = found(server.client.base_url.port, version[0])
        print(f"staging: {tests}")
        assert {check: outcome for check, (outcome, _) in tests.items()} == {
            "health": "pass",
            "bad_input": "pass",
            "inference_time": "pass",
        }
        assert tests["bad_input"][1] == "4 bad requests refused"
        tight = StagingSection(latency_budget=timedelta(microseconds=1), requests=30)
        assert found(server.client.base_url.port, version[0], tight)["inference_time"][0] == "fail"
    with pytest.raises(SourceUnavailableError, match="did not answer a test before traffic"):
        found(server.client.base_url.port, version[0])


def test_a_server_that_answers_anything_fails(version, tmp_path):
    port = free_port()
    (tmp_path / "behaviour.json").write_text(json.dumps({"version": 3, "delay_ms": 5}))
    command = [sys.executable, str(Path(tiny_server.__file__)), "--directory", str(tmp_path), "--port", str(port)]
    server = subprocess.Popen(command)
    try:

        def answers():
            try:
                return found(port, version[0], StagingSection(latency_budget=timedelta(milliseconds=2), requests=20))
            except SourceUnavailableError:
                return None

        assert eventually(lambda: answers() is not None)
        tests = answers()
    finally:
        server.kill()
        server.wait()
    assert tests["health"][0] == "pass"
    assert tests["bad_input"][0] == "fail"
    assert "no JSON: 200" in tests["bad_input"][1]
    assert "budget 2ms" in tests["inference_time"][1]
    assert tests["inference_time"][0] == "fail"


def test_bad_requests_are_bad_in_one_way_each(version):
    inputs = golden_body(read_golden(version[0]))
    made = dict(bad_requests(inputs))
    assert list(made) == ["no JSON", "no inputs", "input 'carrier' left out", "text for the number 'distance'"]
    assert [one["name"] for one in json.loads(made["input 'carrier' left out"])["inputs"]] == ["distance", "wind_speed"]


def test_a_version_that_is_too_slow_is_refused_before_any_traffic(rt, version, tmp_path):
    folder, digest = version
    plan = plan_of(model="flights", version=3, champion=None, strategy="direct")
    row = {"model": "flights", "version": 3, "strategy": "direct", "created_at": rt.clock.now(), "run_id": "r"}
    row |= {"plan": plan.model_dump(mode="json"), "status": Status().model_dump(mode="json")}
    with transaction(rt.engine) as connection:
        number = connection.execute(rollouts.insert().values(row).returning(rollouts.c.id)).scalar_one()
    found = load_model("flight_delay")
    tight = RULES.model_copy(update={"latency_budget": timedelta(microseconds=1)})
    spec = found.model_copy(update={"name": "flights", "rollout": found.rollout.model_copy(update={"staging": tight})})
    planned = PlannedRollout(rollout_id=number, model="flights", version=3, strategy="direct", reason="r")
    run, world = RunContext("flights", "r", "check_serving"), World(rt, aliases={})
    with running_server(folder, digest, tmp_path / "log") as server:
        world.ensure_server = lambda *given, **named: (server.client.base_url.port,)
        world.materialise = lambda rt, model, version: (folder, digest)
        with pytest.raises(GateFailedError, match=r"inference_time: p95 .* budget"):
            check_serving(spec, rt, run, planned, hands=world.hands())
    (entry,) = rt.ledger.read("flights", kind="gate")
    assert {one["check"]: one["outcome"] for one in entry["evidence"]["tests"]} == {
        "health": "pass",
        "bad_input": "pass",
        "inference_time": "fail",
    }
    with transaction(rt.engine) as connection:
        assert connection.execute(rollouts.select()).mappings().one()["state"] == "refused"
