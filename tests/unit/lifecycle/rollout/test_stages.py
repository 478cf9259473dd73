"""Planning, rollback and reconcile on a real database."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, text

from include.lifecycle.database import transaction
from include.lifecycle.errors import ArtefactDigestError, GateFailedError
from include.lifecycle.rollout.driver import abort_rollout, drive_once
from include.lifecycle.rollout.lease import take_lease
from include.lifecycle.rollout.planning.planning import plan_rollout
from include.lifecycle.rollout.reconcile import reconcile
from include.lifecycle.rollout.ways_back.rollback import roll_back_model
from include.lifecycle.runtime import RunContext
from include.lifecycle.tables import candidates, training_requests
from tests.unit.lifecycle.rollout.test_driver import QUICK, drive


@pytest.fixture
def candidate(rt):
    """Write an open candidate: `candidate(version, run_id=...)`."""

    def write(version, run_id=None):
        row = {"model": "churn", "version": version, "verdict": "pass", "created_at": rt.clock.now(), "run_id": run_id}
        with transaction(rt.engine) as connection:
            connection.execute(candidates.insert().values(row))

    return write


def states(rt):
    with transaction(rt.engine) as connection:
        return {row.version: row.state for row in connection.execute(select(candidates))}


def test_newest_candidate_is_claimed_and_older_ones_superseded(rt, world, spec, run, candidate):
    for version in (5, 7, 8, 9):
        candidate(version)
    planned = plan_rollout(spec, rt, run, hands=world.hands())
    assert (planned.version, planned.champion, planned.strategy) == (9, 7, "canary")
    assert states(rt) == {5: "superseded", 7: "done", 8: "superseded", 9: "claimed"}
    assert plan_rollout(spec, rt, run, hands=world.hands()) == planned


def test_the_champion_is_read_under_the_lock_that_its_mover_holds(rt, world, spec, run, candidate):
    candidate(8)
    free = []

    def champion_of(rt, model):
        with transaction(rt.engine) as other:
            asked = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:model, 42))")
            free.append(other.execute(asked, {"model": model}).scalar_one())
        return 7

    plan_rollout(spec, rt, run, hands=replace(world.hands(), champion_of=champion_of))
    assert free[-1] is False, "what is read before the lock only says whether to judge again"


def test_open_rollout_leaves_the_candidate_open(rt, world, spec, run, candidate):
    candidate(8)
    first = plan_rollout(spec, rt, run, hands=world.hands())
    candidate(9)
    other = RunContext(model="churn", run_id="manual__2", task="plan_rollout")
    second = plan_rollout(spec, rt, other, hands=world.hands())
    assert (second.rollout_id, states(rt)[9]) == (None, "open")
    assert f"rollout {first.rollout_id} is open" in second.reason


def test_nothing_to_plan(rt, world, spec, run):
    planned = plan_rollout(spec, rt, run, hands=world.hands())
    assert (planned.rollout_id, planned.reason) == (None, "no candidate waits")


def test_first_version_is_planned_direct(rt, world, spec, run, candidate):
    world.aliases = {}
    candidate(1)
    planned = plan_rollout(spec, rt, run, hands=world.hands())
    assert (planned.strategy, planned.champion) == ("direct", None)


def test_requesters_are_all_who_asked_for_the_training(rt, world, spec, run, candidate, row_of):
    candidate(8, run_id="train-1")
    request = {"model": "churn", "source": "manual", "reason": "r", "requested_at": rt.clock.now(), "requested_by": "ada"}
    with transaction(rt.engine) as connection:
        for asker in ("airflow:decide", "ada"):
            connection.execute(training_requests.insert().values(request | {"run_id": "train-1", "requested_by": asker}))
    planned = plan_rollout(spec, rt, run, hands=world.hands())
    assert row_of(planned.rollout_id)["plan"]["requested_by"] == ["airflow:decide", "ada"]


def back(rt, world, spec, run, to_version=None):
    return roll_back_model(spec, rt, run, reason="complaints", by="ada", to_version=to_version, hands=world.hands())


def test_rollback_to_previous(rt, world, spec, run, desired):
    world.aliases = {"champion": 7, "previous": 6}
    outcome = back(rt, world, spec, run)
    assert (outcome.state, outcome.version) == ("rolled_back", 7)
    assert world.log == [("traffic", {6: 100}), ("demote", 7), ("stop", 7)]
    assert (desired().weights, world.aliases["champion"]) == ({6: 100}, 6)
    assert back(rt, world, spec, run) == outcome
    assert len(world.log) == 3


def test_rollback_needs_somewhere_to_go(rt, world, spec, run):
    with pytest.raises(GateFailedError, match="has no previous version"):
        back(rt, world, spec, run)
    with pytest.raises(GateFailedError, match="version 7 is the champion already"):
        back(rt, world, spec, run, to_version=7)
    world.aliases = {}
    with pytest.raises(GateFailedError, match="has no champion"):
        back(rt, world, spec, run)


def test_rollback_to_a_version_whose_files_are_gone(rt, world, spec, run):
    def gone(rt, model, version):
        raise ArtefactDigestError("no such folder")

    world.materialise = gone
    with pytest.raises(GateFailedError, match="version 3 cannot be served any more"):
        back(rt, world, spec, run, to_version=3)
    assert world.weights == {7: 100}


def test_rollback_during_a_rollout_aborts_it(rt, world, spec, run, open_rollout):
    rollout_id = open_rollout(**QUICK)
    drive_once(rt, rollout_id, "driver", hands=world.hands())
    outcome = back(rt, world, spec, run)
    assert (outcome.state, outcome.rollout_id, world.weights) == ("aborted", rollout_id, {7: 100})
    world.aliases["previous"] = 6
    assert back(rt, world, spec, run) == outcome  # a task that is tried again goes back no further
    assert (world.weights, world.aliases["champion"]) == ({7: 100}, 7)


def test_rollback_while_a_rollout_waits_for_approval_leaves_the_champion(rt, world, spec, run, open_rollout, row_of):
    world.aliases = {"champion": 7, "previous": 6}
    rollout_id = open_rollout()
    outcome = back(rt, world, spec, run)
    assert (outcome.state, world.weights, row_of(rollout_id)["state"]) == ("rolled_back", {6: 100}, "aborted")
    assert back(rt, world, spec, run) == outcome


def test_rollback_of_a_rollout_that_was_promoted_meanwhile(rt, world, spec, run, open_rollout, gateway_log, monkeypatch):
    rollout_id = open_rollout(**QUICK)
    drive_once(rt, rollout_id, "driver", hands=world.hands())

    def too_late(*arguments, **named):
        drive(rt, rollout_id, world, gateway_log)
        return abort_rollout(*arguments, **named)

    monkeypatch.setattr("include.lifecycle.rollout.ways_back.rollback.abort_rollout", too_late)
    outcome = back(rt, world, spec, run)
    assert (outcome.state, outcome.version, world.weights) == ("rolled_back", 8, {7: 100})


def test_reconcile_drives_what_nobody_drives(rt, world, open_rollout, row_of):
    rollout_id = open_rollout(**QUICK)
    assert reconcile(rt, ["churn"], hands=world.hands()) == []  # not approved yet
    drive_once(rt, rollout_id, "driver", hands=world.hands())
    assert reconcile(rt, ["churn"], hands=world.hands()) == []  # its driver lives
    with transaction(rt.engine) as connection:
        connection.execute(text("UPDATE rollouts SET lease_until = now() - interval '1 second'"))
    assert reconcile(rt, ["churn"], hands=world.hands()) == [f"rollout {rollout_id}: driven after its lease lapsed; goes on"]
    drive_once(rt, rollout_id, "driver", hands=world.hands())
    assert row_of(rollout_id)["lease_holder"] == "driver"


def test_reconcile_rolls_out_nothing_that_was_about_to_be_refused(rt, world, open_rollout, row_of):
    rollout_id = open_rollout(**QUICK)
    take_lease(rt, rollout_id, "approve", force=True)  # whoever was to refuse it died here
    with transaction(rt.engine) as connection:
        connection.execute(text("UPDATE rollouts SET lease_until = now() - interval '1 second'"))
    assert reconcile(rt, ["churn"], run_alive=lambda model, run: True, hands=world.hands()) == []
    assert (row_of(rollout_id)["state"], world.weights) == ("planned", {7: 100})
    reconcile(rt, ["churn"], run_alive=lambda model, run: False, hands=world.hands())
    assert (row_of(rollout_id)["state"], world.weights) == ("refused", {7: 100})


def test_reconcile_undoes_and_reports_a_change_by_hand(rt, world):
    world.weights = {7: 60, 9: 40}
    said = reconcile(rt, {"churn": None}, hands=world.hands())
    assert said == ["churn: weights were {7: 60, 9: 40}; applied {7: 100}"]
    assert rt.ledger.read("churn", kind="foreign_change")[0]["actor"] == "reconcile"
    assert world.weights == {7: 100}


def test_reconcile_starts_missing_servers_and_stops_orphans(rt, world):
    world.running = {3: (18303,)}
    said = reconcile(rt, ["churn"], hands=world.hands())
    assert (world.running, len(said)) == ({7: (18307,)}, 2)


def test_reconcile_closes_what_nobody_answered(rt, world, open_rollout, row_of):
    rollout_id = open_rollout()
    with transaction(rt.engine) as connection:
        connection.execute(text("UPDATE rollouts SET wall_at = :old"), {"old": datetime(2020, 1, 1, tzinfo=UTC)})
    (said,) = reconcile(rt, ["churn"], hands=world.hands())
    assert said.startswith(f"rollout {rollout_id}: closed as refused")
    assert row_of(rollout_id)["state"] == "refused"


def test_reconcile_closes_what_a_dead_run_left(rt, world, open_rollout, row_of):
    rollout_id = open_rollout()
    run_id = row_of(rollout_id)["run_id"]
    assert reconcile(rt, ["churn"], run_alive=lambda model, run: True, hands=world.hands()) == []
    asked = []
    said = reconcile(rt, ["churn"], run_alive=lambda model, run: asked.append((model, run)), hands=world.hands())
    assert asked == [("churn", run_id)]
    assert len(said) == 1
    assert row_of(rollout_id)["state"] == "refused"
