"""Planning a rollout on a real database: the estimate, a plan that cannot end in time, steps that a person gives to one run."""

import json
import time

import pytest
from sqlalchemy import select

from include.lifecycle.database import transaction
from include.lifecycle.decisions.sweep import unclaimed
from include.lifecycle.errors import GateFailedError
from include.lifecycle.registry.release import release_candidate
from include.lifecycle.rollout.driver import drive_once
from include.lifecycle.rollout.planning.by_hand import ByHand, read_by_hand, with_steps
from include.lifecycle.rollout.planning.planning import plan_rollout
from include.lifecycle.runtime import RunContext
from include.lifecycle.tables import candidates
from include.lifecycle.units import parse_duration


@pytest.fixture
def candidate(rt):
    """An open candidate: version 8."""
    row = {"model": "churn", "version": 8, "verdict": "pass", "created_at": rt.clock.now(), "evidence": {"reason": "better"}}
    with transaction(rt.engine) as connection:
        connection.execute(candidates.insert().values(row))


@pytest.fixture
def log(rt):
    """Write so many requests of the last so many seconds into the gateway's log, evenly."""

    def write(count, seconds):
        rt.settings.gateway_log.parent.mkdir(parents=True, exist_ok=True)
        now = time.time()
        rows = [
            {"ts": f"{now - seconds * number / count:.6f}", "model": "churn", "assigned": "7"} for number in range(count, 0, -1)
        ]
        rest = {"code": 200, "us": "4000", "host": "127.0.0.1:18307", "attempts": 1}
        rt.settings.gateway_log.write_text("".join(json.dumps(row | rest, separators=(",", ":")) + "\n" for row in rows))

    return write


def patient(spec, give_up_after):
    rollout = spec.rollout.model_copy(update={"give_up_after": parse_duration(give_up_after)})
    return spec.model_copy(update={"rollout": rollout})


def candidate_of(rt):
    with transaction(rt.engine) as connection:
        return connection.execute(select(candidates)).mappings().one()


def test_the_estimate_stands_in_plan_ledger_and_result(rt, world, spec, run, candidate, log, row_of):
    log(6000, 600)
    planned = plan_rollout(spec, rt, run, hands=world.hands())
    assert planned.estimate[0] == "Traffic: 600 requests/min (6000 in the last 10 min of the gateway's log)."
    assert "500 requests, about 8.3 min, at least 5 min" in planned.estimate[1]
    plan = row_of(planned.rollout_id)["plan"]
    assert plan["estimate"]["per_second"] == pytest.approx(10, rel=0.01)
    assert plan["estimate"]["harm"]["base_known"] is True
    assert "latencies_us" not in json.dumps(plan)
    entry = rt.ledger.read("churn", kind="rollout")[0]
    assert (entry["act"], entry["evidence"]["estimate"]) == ("plan rollout", planned.estimate)
    assert plan_rollout(spec, rt, run, hands=world.hands()) == planned


def test_unknown_traffic_is_planned_all_the_same(rt, world, spec, run, candidate):
    planned = plan_rollout(patient(spec, "1s"), rt, run, hands=world.hands())
    assert planned.rollout_id is not None
    assert planned.estimate[0].startswith("Traffic unknown")


def test_a_plan_that_cannot_end_is_refused_with_its_numbers_and_the_version_is_held(rt, world, spec, run, candidate, log):
    log(1440, 7200 + 60)
    slow = patient(spec, "2h")
    refused = plan_rollout(slow, rt, run, hands=world.hands())
    assert (refused.rollout_id, refused.refused) == (None, True)
    assert "stage 1 (10 % of the traffic to the challenger) needs 500 requests; at 11.9 requests/min" in refused.reason
    assert "that takes 7.0 h; give_up_after is 2 h; raise rollout.give_up_after" in refused.reason
    held = candidate_of(rt)
    assert (held["state"], held["evidence"]["reason"]) == ("held", refused.reason)
    entry = rt.ledger.read("churn", kind="rollout")[0]
    assert (entry["act"], entry["verdict"], entry["version_after"]) == ("refuse plan", "fail", 8)
    again = plan_rollout(slow, rt, run, hands=world.hands())
    assert (again.rollout_id, again.reason, again.refused) == (None, "no candidate waits", False)
    assert release_candidate(rt, "churn", 8, by="ada", reason="more patience in the YAML") is None
    later = RunContext(model="churn", run_id="manual__2", task="plan_rollout")
    assert plan_rollout(patient(spec, "24h"), rt, later, hands=world.hands()).rollout_id is not None


def test_steps_given_by_hand_override_the_plan_and_are_recorded(rt, world, spec, run, candidate, row_of):
    given = ByHand(by="ada", initial_traffic=10, increment=10, interval_minutes=5)
    planned = plan_rollout(spec, rt, run, by_hand=given, hands=world.hands())
    stages = row_of(planned.rollout_id)["plan"]["stages"]
    assert [stage["percent"] for stage in stages] == list(range(10, 100, 10))
    assert {stage["at_least"] for stage in stages} == {"5m"}
    assert planned.reason.endswith("ada gave this run initial_traffic 10, increment 10, interval_minutes 5")
    assert rt.ledger.read("churn", kind="rollout")[0]["evidence"]["by_hand"]["by"] == "ada"


@pytest.mark.parametrize(
    ("given", "percents", "at_least"),
    [
        ({"initial_traffic": 20}, [20], "5m"),
        ({"increment": 30}, [10, 40, 70], "5m"),
        ({"interval_minutes": 0.5}, [10], "30s"),
        ({"initial_traffic": 99, "increment": 1}, [99], "5m"),
    ],
)
def test_what_is_not_given_is_as_the_first_step(spec, given, percents, at_least):
    made = with_steps(spec.rollout, ByHand(by="ada", **given)).steps
    assert [step.percent for step in made] == percents
    assert {(step.at_least, step.requests) for step in made} == {(parse_duration(at_least), 500)}


@pytest.mark.parametrize("params", [{"initial_traffic": 0}, {"initial_traffic": 100}, {"increment": 0}, {"interval_minutes": -1}])
def test_values_out_of_bounds_are_told(params):
    with pytest.raises(GateFailedError, match=next(iter(params))):
        read_by_hand(params, "ada")


def test_steps_by_hand_belong_to_a_canary(rt, world, spec, run, candidate):
    green = spec.model_copy(update={"rollout": spec.rollout.model_copy(update={"strategy": "blue_green"})})
    with pytest.raises(GateFailedError, match="belong to strategy canary; the model's strategy is blue_green"):
        plan_rollout(green, rt, run, by_hand=ByHand(by="ada", initial_traffic=5), hands=world.hands())
    assert candidate_of(rt)["state"] == "open"


def test_a_run_without_params_is_not_by_hand():
    assert read_by_hand({"initial_traffic": None, "increment": None, "other": 3}, "ada") is None


def test_a_newer_candidate_waits_its_turn_or_replaces_and_older_ones_are_superseded(rt, world, spec, run, candidate):
    eager = spec.model_copy(update={"rollout": spec.rollout.model_copy(update={"on_new_candidate": "replace"})})
    first = plan_rollout(eager, rt, run, hands=world.hands())
    drive_once(rt, first.rollout_id, "driver", hands=world.hands())
    with transaction(rt.engine) as connection:
        for version in (9, 10):
            row = {"model": "churn", "version": version, "verdict": "pass", "created_at": rt.clock.now()}
            connection.execute(candidates.insert().values(row))
    second = RunContext(model="churn", run_id="manual__2", task="plan_rollout")
    assert "is open (running)" in plan_rollout(eager, rt, second, hands=world.hands()).reason
    assert "churn" in unclaimed(rt).candidates, "upkeep wakes the deploy Dag again"
    outcome = drive_once(rt, first.rollout_id, "driver", hands=world.hands())
    assert (outcome.state, outcome.reason) == ("aborted", "version 10 is newer and replaces it")
    planned = plan_rollout(eager, rt, second, hands=world.hands())
    assert planned.version == 10
    with transaction(rt.engine) as connection:
        found = {row.version: row.state for row in connection.execute(select(candidates))}
    assert found == {8: "done", 9: "superseded", 10: "claimed"}
