"""Whole rollouts under live traffic on the real Envoy, supervisord, database and registry: promotion, and bad canaries."""

import json
import time
from dataclasses import replace

import pytest
from sqlalchemy import select

from include.lifecycle.database import transaction
from include.lifecycle.errors import GateFailedError
from include.lifecycle.loading import load_model
from include.lifecycle.registry.client import alias_version, champion_version, ensure_experiment, registry_client
from include.lifecycle.rollout.before_traffic.serving_check import check_serving
from include.lifecycle.rollout.driver import drive_once
from include.lifecycle.rollout.hands import usual_hands
from include.lifecycle.rollout.planning.planning import plan_rollout
from include.lifecycle.rollout.targets.embedded import EmbeddedTarget
from include.lifecycle.rollout.ways_back.rollback import roll_back_model
from include.lifecycle.runtime import RunContext
from include.lifecycle.spec import RolloutSection
from include.lifecycle.tables import candidates, rollouts
from include.serving.version_folder import write_manifest
from tests.integration.rollout_stack import Clients, tiny_target, tiny_version
from tests.unit.serving.folders import build_folder, one_row, request_body

pytestmark = pytest.mark.integration
MODEL = "flights"


@pytest.fixture
def place(stack, make_runtime, mlflow_server):
    rt = make_runtime(**stack.environment, MODELOPS_MLFLOW_URL=mlflow_server)
    yield rt
    target = EmbeddedTarget(rt)
    target.gateway.write(list)
    for version in list(target.servers(MODEL)):
        target.supervisor.remove(f"server-{MODEL}-{version}")


@pytest.fixture
def spec():
    found = load_model("flight_delay")
    steps = [{"percent": share, "at_least": "2s", "requests": 60} for share in (10, 25, 50)]
    quick = found.rollout.model_dump(mode="json") | {"steps": steps, "bake": "2s", "limits": found.rollout.limits.model_dump()}
    return found.model_copy(update={"name": MODEL, "rollout": RolloutSection.model_validate(quick)})


def register(rt, version):
    """A version folder that is registered in MLflow, and a candidate for it."""
    client = registry_client(rt)
    if version == 1:
        client.create_registered_model(MODEL)
    digest = build_folder(rt.storage.served(MODEL, version), "onnx", version)
    made = client.create_run(ensure_experiment(rt, MODEL)).info
    client.create_model_version(MODEL, f"{made.artifact_uri}/model", made.run_id, tags={"manifest_digest": digest})
    candidate = {"model": MODEL, "version": version, "verdict": "pass", "created_at": rt.clock.now()}
    with transaction(rt.engine) as connection:
        connection.execute(candidates.insert().values(candidate))


def deploy(rt, spec, run_id, hands=None):
    """Plan, check and drive like the deploy Dag; return (outcome, serving check)."""
    run = RunContext(model=MODEL, run_id=run_id, task="roll_out")
    planned = plan_rollout(spec, rt, run)
    checked = check_serving(spec, rt, run, planned) if hands is None else None
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (outcome := drive_once(rt, planned.rollout_id, run_id, hands=hands)) is not None:
            return outcome, checked
        time.sleep(0.3)
    raise AssertionError("the rollout did not end in 120 s")


def test_first_version_then_canary_to_promotion_then_rollback(place, stack, spec):
    rt = place
    register(rt, 1)
    outcome, checked = deploy(rt, spec, "run-1")
    assert (outcome.state, champion_version(rt, MODEL)) == ("promoted", 1)
    print(f"serving check: started in {checked.start_seconds:.1f} s, p95 {checked.p95_ms:.1f} ms, {checked.verdict.reason}")
    register(rt, 2)
    body = json.dumps(request_body(one_row())).encode()
    with Clients(stack.port, f"/v2/models/{MODEL}/infer", body, count=6, pause=0.03) as clients:
        began = time.monotonic()
        outcome, _ = deploy(rt, spec, "run-2")
        took = time.monotonic() - began
        assert (outcome.state, champion_version(rt, MODEL), alias_version(rt, MODEL, "previous")) == ("promoted", 2, 1)
        run = RunContext(model=MODEL, run_id="back-1", task="roll_back")
        back = roll_back_model(spec, rt, run, reason="drill", by="ada", to_version=None)
    print(f"canary 10 > 25 > 50 > 100 % in {took:.1f} s: {sum(clients.codes.values())} requests, {clients.failed} failed")
    assert clients.failed == 0, clients.problems[:5]
    assert (back.state, champion_version(rt, MODEL)) == ("rolled_back", 1)
    target = EmbeddedTarget(rt)
    assert (target.read_back(MODEL), set(target.servers(MODEL))) == ({1: 100}, {1})
    acts = [(row["act"], row["phase"]) for row in reversed(rt.ledger.read(MODEL, kind="rollout")) if row["version_after"] == 2]
    assert acts.count(("shift_traffic", "done")) == 3


def test_wrong_golden_answers_are_refused_before_any_traffic(stack, make_runtime, spec):
    rt = make_runtime(**stack.environment)
    folder = rt.storage.served(MODEL, 4)
    build_folder(folder, "onnx", 4)
    golden = json.loads((folder / "golden.json").read_text())
    golden["predictions"][0] += 0.01
    (folder / "golden.json").write_text(json.dumps(golden))
    digest = write_manifest(folder)
    alone = {"champion_of": lambda rt, model: None, "withdraw": lambda *given, **named: None}
    hands = replace(usual_hands(rt), materialise=lambda rt, model, version: (folder, digest), **alone)
    candidate = {"model": MODEL, "version": 4, "verdict": "pass", "created_at": rt.clock.now()}
    with transaction(rt.engine) as connection:
        connection.execute(candidates.insert().values(candidate))
    run = RunContext(model=MODEL, run_id="wrong", task="check_serving")
    planned = plan_rollout(spec, rt, run, hands=hands)
    for _ in range(2):
        with pytest.raises(GateFailedError, match=r"largest difference 0\.01"):
            check_serving(spec, rt, run, planned, hands=hands)
    assert drive_once(rt, planned.rollout_id, "test", hands=hands).state == "refused"
    assert (hands.target.servers(MODEL), hands.target.read_back(MODEL)) == ({}, {})
    assert rt.ledger.read(MODEL, kind="gate")[0]["verdict"] == "fail"


@pytest.mark.parametrize(("behaviour", "check"), [({"fail": 0.5}, "error_rate"), ({"delay_ms": 80}, "latency")])
def test_bad_canary_goes_back_without_a_failed_request(stack, make_runtime, spec, behaviour, check):
    rt = make_runtime(**stack.environment)
    aliases = {"champion": 7}
    target = tiny_target(rt)
    hands = replace(
        usual_hands(rt),
        target=target,
        champion_of=lambda rt, model: aliases["champion"],
        withdraw=lambda *given, **named: None,
        materialise=lambda rt, model, version: tiny_version(rt, model, version, **(behaviour if version == 8 else {})),
    )
    candidate = {"model": MODEL, "version": 8, "verdict": "pass", "created_at": rt.clock.now()}
    with transaction(rt.engine) as connection:
        connection.execute(candidates.insert().values(candidate))
    run = RunContext(model=MODEL, run_id=f"bad-{check}", task="roll_out")
    planned = plan_rollout(spec, rt, run, hands=hands)
    drive_once(rt, planned.rollout_id, "test", hands=hands)
    with Clients(stack.port, f"/v2/models/{MODEL}/infer", count=8, pause=0.01) as clients:
        began, outcome = time.monotonic(), None
        while outcome is None:
            outcome = drive_once(rt, planned.rollout_id, "test", hands=hands)
            time.sleep(0.2)
            assert time.monotonic() - began < 60
    print(f"{check}: rolled back after {time.monotonic() - began:.1f} s, {clients.codes}, {outcome.reason}")
    assert (outcome.state, target.read_back(MODEL), set(target.servers(MODEL))) == ("rolled_back", {7: 100}, {7})
    # a version that fails half of what it is asked may be found by the probes of its servers first
    assert f"{check} fail" in outcome.reason or (check == "error_rate" and "servers fail" in outcome.reason)
    assert clients.failed == 0, clients.problems[:5]
    with transaction(rt.engine) as connection:
        assert connection.execute(select(rollouts.c.state)).scalar_one() == "rolled_back"
    target.gateway.write(list)
    target.supervisor.remove(f"server-{MODEL}-7")
