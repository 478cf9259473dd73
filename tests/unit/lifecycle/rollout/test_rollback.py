"""Rollbacks from outside: their kinds, plans and refusals, and what holds when a rollout is planned at the same moment."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from sqlalchemy import select, update

from include.lifecycle.commands.rollback import in_words
from include.lifecycle.database import transaction
from include.lifecycle.errors import ArtefactDigestError, GateFailedError, SourceUnavailableError
from include.lifecycle.rollout.driver import drive_once
from include.lifecycle.rollout.gateway.traffic import Baseline, Mirror
from include.lifecycle.rollout.planning.planning import plan_rollout
from include.lifecycle.rollout.reconcile import reconcile
from include.lifecycle.rollout.ways_back import rollback
from include.lifecycle.rollout.ways_back.freezing import return_all_traffic, rolling_out
from include.lifecycle.rollout.ways_back.rollback import Occasion, plan_rollback, roll_back_model
from include.lifecycle.rollout.ways_back.rollback_notes import UNDER_WAY, under_way, unfinished
from include.lifecycle.runtime import RunContext
from include.lifecycle.tables import candidates, ledger, rollouts
from tests.unit.lifecycle.rollout.conftest import Killed

QUICK = {"steps": [{"percent": 10, "at_least": "0s", "requests": 50}], "bake": "0s"}


@pytest.fixture
def world(world):
    """Champion 7 with a previous version 6."""
    world.aliases = {"champion": 7, "previous": 6}
    return world


@pytest.fixture
def candidate(rt):
    with transaction(rt.engine) as connection:
        values = {"model": "churn", "version": 9, "verdict": "pass", "created_at": rt.clock.now()}
        connection.execute(candidates.insert().values(values))


def back(rt, world, spec, run_id="back-1", hands=None, **more):
    run = RunContext("churn", run_id, "roll_back")
    return roll_back_model(spec, rt, run, reason="wrong prices", by="ada", hands=hands or world.hands(), **more)


def plan(rt, world, spec, run_id="deploy-1"):
    return plan_rollout(spec, rt, RunContext("churn", run_id, "plan_rollout"), hands=world.hands())


def open_rows(rt):
    with transaction(rt.engine) as connection:
        query = select(rollouts.c.champion).where(rollouts.c.state.in_(("planned", "running", "baking")))
        return list(connection.execute(query).scalars())


@pytest.mark.parametrize("kind", ["business", "complaint", "regulator", "incident"])
def test_the_kind_of_the_reason_stands_in_the_ledger(rt, world, spec, kind):
    assert back(rt, world, spec, occasion=Occasion(kind)).state == "rolled_back"
    entry = rt.ledger.read("churn", kind="rollback")[0]
    assert (entry["phase"], entry["reason"]) == ("done", f"rollback by ada ({kind}): wrong prices")


def test_another_kind_is_refused_before_anything_happens(rt, world, spec):
    with pytest.raises(GateFailedError, match="allowed: business, complaint, regulator, incident"):
        back(rt, world, spec, occasion=Occasion("mood"))
    assert (world.log, rt.ledger.read("churn", kind="rollback")) == ([], [])


def test_twice_is_answered_clearly_and_changes_nothing(rt, world, spec):
    back(rt, world, spec)
    with pytest.raises(GateFailedError, match="champion 6 has no previous version"):
        back(rt, world, spec, "back-2")
    assert (world.weights, world.aliases["champion"]) == ({6: 100}, 6)


def test_an_alert_about_a_version_leaves_others_alone(rt, world, spec, open_rollout):
    with pytest.raises(GateFailedError, match=r"version 8 has no traffic to take \(champion is 7\)"):
        back(rt, world, spec, occasion=Occasion(leaving=8))
    assert world.log == []
    rollout = open_rollout(**QUICK)
    drive_once(rt, rollout, "driver", hands=world.hands())
    assert back(rt, world, spec, "back-2", occasion=Occasion(leaving=8)).state == "aborted"
    with pytest.raises(GateFailedError, match="version 8 has no traffic to take"):
        back(rt, world, spec, "back-3", occasion=Occasion(leaving=8))
    assert (world.weights, world.aliases["champion"]) == ({7: 100}, 7)
    assert back(rt, world, spec, "back-4", occasion=Occasion(leaving=7)).state == "rolled_back"


def test_a_plan_says_what_would_happen_and_stops(rt, world, spec, open_rollout):
    found = plan_rollback(spec, rt, hands=world.hands())
    assert (found.leave, found.enter, found.stops, found.weights) == (7, 6, "", {7: 100})
    assert in_words(found)[1].startswith("all traffic and the alias champion from version 7 to 6 (whole, in ")
    rollout = open_rollout(**QUICK)
    drive_once(rt, rollout, "driver", hands=world.hands())
    found = plan_rollback(spec, rt, hands=world.hands())
    assert (found.rollout, found.leave, found.enter) == (rollout, 8, 7)
    world.aliases.pop("previous")
    with transaction(rt.engine) as connection:
        connection.execute(update(rollouts).values(state="aborted"))
    found = plan_rollback(spec, rt, hands=world.hands())
    assert (found.rollout, found.leave, found.enter, found.stops) == (None, 8, 7, ""), "its share was left over"
    back(rt, world, spec)
    assert "has no previous version" in in_words(plan_rollback(spec, rt, hands=world.hands()))[-1]
    assert {row["run_id"] for row in rt.ledger.read("churn", kind="rollback")} == {"back-1"}


def test_a_version_whose_files_are_nowhere_leaves_the_traffic(rt, world, spec):
    def gone(*given):
        raise ArtefactDigestError("version 6 of churn: retention removed its model files")

    world.materialise = gone
    with pytest.raises(GateFailedError, match=r"version 6 cannot be served any more, so the traffic stays as it is: .*retention"):
        back(rt, world, spec)
    assert (world.log, world.weights) == ([], {7: 100})
    with transaction(rt.engine) as connection:
        assert under_way(connection, "churn") == ""


def test_a_rollout_planned_just_before_the_intent_is_ended_first(rt, world, spec, candidate):
    planned = []

    def files(*given):
        if not planned:
            planned.append(plan(rt, world, spec))
        return type(world).materialise(world, *given)

    world.materialise = files
    outcome = back(rt, world, spec)
    assert planned[0].rollout_id is not None
    assert (outcome.state, world.weights, world.aliases["champion"]) == ("rolled_back", {6: 100}, 6)
    assert open_rows(rt) == []


def test_no_rollout_is_planned_against_a_champion_that_is_about_to_go(rt, world, spec, candidate):
    seen = []
    apply = world.apply

    def planned_meanwhile(*given):
        seen.append(plan(rt, world, spec))
        return apply(*given)

    world.apply = planned_meanwhile
    back(rt, world, spec)
    assert (seen[0].rollout_id, seen[0].reason) == (None, "a rollback is under way: roll back to 6 (airflow:roll_back)")
    again = plan(rt, world, spec)
    assert (again.rollout_id is not None, open_rows(rt)) == (True, [6])


def test_interleaved_as_it_comes_no_plan_keeps_the_old_champion(rt, world, spec, candidate):
    barrier = threading.Barrier(2)

    def act(what):
        barrier.wait()
        return what(rt, world, spec)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(act, what) for what in (back, plan)]:
            done.result(timeout=30)
    assert (world.weights, world.aliases["champion"]) == ({6: 100}, 6)
    assert open_rows(rt) in ([], [6])


def test_a_killed_rollback_is_finished_by_reconcile(rt, world, spec, monkeypatch):
    world.kill_at = 6  # in the middle of applying the traffic
    with pytest.raises(Killed):
        back(rt, world, spec)
    world.kill_at = None
    assert reconcile(rt, ["churn"], hands=world.hands()) == [] or world.aliases["champion"] == 7  # its task may live
    with transaction(rt.engine) as connection:
        begun = unfinished(connection, "churn")
    monkeypatch.setattr("include.lifecycle.rollout.reconcile_model._PATIENCE", begun["wall_at"] - begun["wall_at"])
    monkeypatch.setattr("include.lifecycle.rollout.reconcile_model.load_model", lambda name: spec)
    said = reconcile(rt, ["churn"], hands=world.hands())
    assert [one for one in said if "a rollback that was begun by airflow:roll_back is finished" in one], said
    assert (world.weights, world.aliases["champion"], set(world.running)) == ({6: 100}, 6, {6})
    with transaction(rt.engine) as connection:
        assert unfinished(connection, "churn") is None


def damaged(world, version):
    """A server of `version` starts only once its files were fetched again."""
    fetched, start = [], world.ensure_server
    whole = world.materialise

    def ensure_server(model, wanted, *given, **named):
        if wanted == version and not fetched:
            raise GateFailedError("manifest.json has another digest")
        return start(model, wanted, *given, **named)

    def materialise(rt, model, wanted):
        fetched.append(wanted)
        return whole(rt, model, wanted)

    world.ensure_server, world.materialise = ensure_server, materialise
    return fetched


def test_a_champion_whose_copy_is_damaged_is_fetched_again_on_the_way_back(rt, world, open_rollout, gateway_log):
    rollout = open_rollout(**QUICK)
    drive_once(rt, rollout, "driver", hands=world.hands())
    fetched = damaged(world, 7)
    gateway_log(8, 500, failed=400)
    assert drive_once(rt, rollout, "driver", hands=world.hands()).state == "rolled_back"
    assert (fetched, world.weights) == ([7], {7: 100})


def test_reconcile_fetches_damaged_files_and_reports_a_model_that_stays_down(rt, world):
    world.running.clear()
    fetched = damaged(world, 7)
    assert reconcile(rt, ["churn"], hands=world.hands()) == [
        "churn: server of version 7 was not running; started on port 18307",
    ]
    assert fetched == [7]
    world.running.clear()
    world.fail["ensure_server"] = GateFailedError("state FATAL")
    for _ in range(2):
        assert [one for one in reconcile(rt, ["churn"], hands=world.hands()) if "FATAL" in one]
    raised, alert = rt.ledger.read("churn", kind="alert")
    assert (raised["act"], raised["evidence"]["severity"]) == ("raise alert", "P0")
    assert (alert["act"], alert["evidence"]["severity"]) == ("model_down", "P0")


def test_what_did_not_answer_is_tried_again_and_keeps_its_versions(rt, world, spec):
    world.fail["demote"] = SourceUnavailableError("MLflow is down")
    with pytest.raises(SourceUnavailableError):
        back(rt, world, spec)
    assert world.weights == {6: 100}
    world.fail.clear()
    assert back(rt, world, spec).reason.endswith("now 6")
    assert world.aliases["champion"] == 6


def test_a_rollback_that_cannot_be_finished_keeps_nobody_waiting(rt, world, spec):
    world.fail["demote"] = GateFailedError("the aliases read back differ")
    with pytest.raises(GateFailedError):
        back(rt, world, spec)
    phases = [row["phase"] for row in rt.ledger.read("churn", kind="rollback")]
    assert phases == ["failed", "intended"]
    with transaction(rt.engine) as connection:
        assert under_way(connection, "churn") == ""


def test_an_old_intention_keeps_nobody_waiting(rt, world, spec):
    world.kill_at = 6
    with pytest.raises(Killed):
        back(rt, world, spec)
    old = {name: value for name, value in rt.ledger.read("churn", kind="rollback")[0].items() if name not in ("id", "wall_at")}
    with transaction(rt.engine) as connection:
        assert under_way(connection, "churn")
        at = connection.execute(select(ledger.c.wall_at).order_by(ledger.c.id.desc())).scalar()
        row = old | {"model": "fares", "idempotency_key": "rollback:fares:x", "wall_at": at - UNDER_WAY}
        connection.execute(ledger.insert().values(json.loads(json.dumps(row, default=str))))
        assert under_way(connection, "fares") == ""


def test_an_alert_that_the_driver_was_faster_than_leaves_the_champion(rt, world, spec, open_rollout, gateway_log, monkeypatch):
    """Between the first look and the lock, the driver took the canary back."""
    rollout = open_rollout(**QUICK)
    drive_once(rt, rollout, "driver", hands=world.hands())
    stop = rollback._rollout_to_stop

    def driver_first(*given):
        gateway_log(8, 500, failed=400)
        drive_once(rt, rollout, "driver", hands=world.hands())
        return stop(*given)

    monkeypatch.setattr(rollback, "_rollout_to_stop", driver_first)
    for run_id, occasion in [("alert-1", Occasion(leaving=8)), ("alert-2", Occasion(unless_back=True))]:
        with pytest.raises(GateFailedError, match="nothing was changed"):
            back(rt, world, spec, run_id, occasion=occasion)
    assert (world.weights, world.aliases["champion"]) == ({7: 100}, 7)
    with transaction(rt.engine) as connection:
        assert under_way(connection, "churn") == ""


def test_an_alert_without_a_version_takes_a_champion_that_did_not_just_get_its_traffic_back(rt, world, spec, open_rollout):
    rollout = open_rollout(**QUICK)  # it only waits: its end is no way back
    assert back(rt, world, spec, occasion=Occasion(unless_back=True)).state == "rolled_back"
    assert (world.weights, world.aliases["champion"]) == ({6: 100}, 6)
    assert back(rt, world, spec, occasion=Occasion(unless_back=True)).reason.endswith("now 6"), "the same run again"
    assert rt.ledger.read("churn", kind="rollback")[-1]["evidence"]["rollout"] == rollout
    world.aliases["previous"] = 5
    with pytest.raises(GateFailedError, match=r"the traffic went back at .* \(roll back to 6\); nothing was changed"):
        back(rt, world, spec, "back-2", occasion=Occasion(unless_back=True))


def test_an_alert_about_a_version_that_only_waits_ends_its_rollout_alone(rt, world, spec, open_rollout):
    open_rollout(**QUICK)
    assert back(rt, world, spec, occasion=Occasion(leaving=8)).state == "aborted"
    assert (world.weights, world.aliases["champion"]) == ({7: 100}, 7)


@pytest.fixture
def left_over(rt, world, desired):
    """A rollout of an earlier release was held, and so closed, while version 8 had a share; its plan says two servers."""

    def make(open_rollout, **beside):
        open_rollout(**QUICK, replicas=2)
        with transaction(rt.engine) as connection:
            connection.execute(update(rollouts).values(state="held", lease_until=None))
        row = desired()
        world.running[8] = (18308,)
        servers = row.servers | {8: row.servers[7].model_copy(update={"ports": (18308,)})}
        wanted = {"weights": {7: 90, 8: 10}, "servers": servers} | beside
        world.apply(row.model_copy(update=wanted))
        world.log.clear()

    return make


@pytest.mark.parametrize(
    "asked", [{}, {"to_version": 7}, {"occasion": Occasion(leaving=8)}, {"occasion": Occasion(unless_back=True)}]
)
@pytest.mark.parametrize("beside", [{}, {"weights": {7: 100, 8: 0}, "mirror": Mirror(version=8, percent=50)}])
def test_a_share_that_no_rollout_answers_for_is_what_a_rollback_stops(rt, world, spec, open_rollout, left_over, asked, beside):
    left_over(open_rollout, **beside)
    found = plan_rollback(spec, rt, to_version=asked.get("to_version"), hands=world.hands())
    assert (found.leave, found.enter, found.stops) == (8, 7, "")
    outcome = back(rt, world, spec, **asked)
    assert (outcome.state, outcome.version) == ("rolled_back", 8)
    assert outcome.reason.endswith("now 7")
    assert (world.weights, world.row.mirror, world.aliases) == ({7: 100}, None, {"champion": 7, "previous": 6})
    assert world.running == {7: (18307, 19307)}
    assert [row["phase"] for row in rt.ledger.read("churn", kind="rollback")] == ["done", "intended"]
    back(rt, world, spec, **asked)
    assert world.weights == {7: 100}, "the same run again goes back no further"


def test_a_baseline_that_is_left_is_stopped_too(rt, world, spec, desired):
    world.baselines[7] = (28307,)
    row = desired()
    spare = Baseline(percent=10, server=row.servers[7].model_copy(update={"ports": (28307,)}))
    world.apply(row.model_copy(update={"baseline": spare}))
    back(rt, world, spec)
    assert (world.baselines, desired().baseline, world.weights, world.aliases["champion"]) == ({}, None, {7: 100}, 7)
    back(rt, world, spec, "back-2")
    assert world.weights == {6: 100}


def test_a_complaint_about_the_champion_leaves_it_although_a_share_is_left(rt, world, spec, open_rollout, left_over):
    left_over(open_rollout)
    assert back(rt, world, spec, occasion=Occasion(leaving=7)).reason.endswith("now 6")
    assert (world.weights, world.aliases["champion"]) == ({6: 100}, 6)


@pytest.mark.parametrize("boundary", range(1, 14))
def test_the_end_of_a_share_that_was_left_is_finished_after_a_kill(rt, world, spec, open_rollout, left_over, boundary):
    left_over(open_rollout)
    world.kill_at = world.boundaries + boundary
    with suppress(Killed):
        back(rt, world, spec)
    world.kill_at = None
    back(rt, world, spec)
    assert (world.weights, world.aliases, set(world.running)) == ({7: 100}, {"champion": 7, "previous": 6}, {7})
    with transaction(rt.engine) as connection:
        assert unfinished(connection, "churn") is None


def test_the_kill_switch_ends_a_share_that_was_left(rt, world, open_rollout, left_over):
    left_over(open_rollout)
    assert rolling_out(rt) == ["churn"]
    (said,) = return_all_traffic(rt, ["churn"], reason="wrong prices", by="ada", hands=world.hands())
    assert said == "churn: the share of version 8 is ended; frozen by ada: wrong prices"
    assert (world.weights, world.aliases["champion"], rolling_out(rt)) == ({7: 100}, 7, [])
    assert return_all_traffic(rt, ["churn"], reason="wrong prices", by="ada", hands=world.hands()) == []
