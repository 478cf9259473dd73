"""The kill switch: what it stops, what it never stops, and how fast it is in force."""

import json
import time

import pytest
from sqlalchemy import select

from include.lifecycle.cli import main
from include.lifecycle.database import transaction
from include.lifecycle.decisions.blocking import blockers
from include.lifecycle.decisions.history import read_state
from include.lifecycle.errors import GateFailedError, LifecycleError
from include.lifecycle.rollout.driver import drive_once
from include.lifecycle.rollout.planning.planning import plan_rollout
from include.lifecycle.rollout.ways_back.freezing import (
    ALL,
    freeze,
    frozen_reason,
    refuse_frozen,
    return_all_traffic,
    rolling_out,
    unfreeze,
)
from include.lifecycle.tables import candidates
from include.lifecycle.training.permission import refusal
from include.settings import load_settings

QUICK = {"steps": [{"percent": 10, "at_least": "0s", "requests": 50}], "bake": "0s"}


def why(rt, model="churn"):
    with transaction(rt.engine) as connection:
        return frozen_reason(connection, model)


def test_a_model_all_and_both(rt):
    assert why(rt) == ""
    assert freeze(rt, "churn", reason="wrong prices", by="ada")
    assert not freeze(rt, "churn", reason="again", by="bob")
    assert why(rt) == "churn is frozen since 2013-08-01 00:00 UTC by ada: wrong prices"
    assert why(rt, "fares") == ""
    assert freeze(rt, ALL, reason="audit", by="bob")
    assert why(rt, "fares") == "everything is frozen since 2013-08-01 00:00 UTC by bob: audit"
    assert unfreeze(rt, ALL, reason="audit over", by="bob")
    assert not unfreeze(rt, ALL, reason="audit over", by="bob")
    assert (why(rt, "fares"), bool(why(rt))) == ("", True)
    assert [(one["act"], one["actor"]) for one in rt.ledger.read("churn", kind="freeze")] == [("freeze", "ada")]
    assert [one["act"] for one in rt.ledger.read(ALL, kind="freeze")] == ["unfreeze", "freeze"]


def test_a_reason_is_asked_for(rt):
    for act in (freeze, unfreeze):
        with pytest.raises(LifecycleError, match="a reason is asked for"):
            act(rt, "churn", reason=" ", by="ada")
    with transaction(rt.engine) as connection:
        refuse_frozen(connection, "churn", "a promotion")
    freeze(rt, "churn", reason="audit", by="ada")
    with transaction(rt.engine) as connection, pytest.raises(GateFailedError, match=r"a promotion is not allowed now: .*audit"):
        refuse_frozen(connection, "churn", "a promotion")


def test_no_training_not_even_a_forced_one(rt, spec):
    freeze(rt, "churn", reason="audit", by="ada")
    with transaction(rt.engine) as connection:
        for force in (False, True):
            found = refusal(connection, spec, "run-1", rt.clock.now(), sources={"manual"}, force=force)
            assert "churn is frozen" in found.reason
        state = read_state(connection, "churn", [], rt.clock.now())
    assert "churn is frozen" in blockers([], state, spec, rt.clock.now(), force=True)["kill_switch"]


def test_no_rollout_is_planned_and_the_candidate_stays(rt, world, spec, run):
    with transaction(rt.engine) as connection:
        values = {"model": "churn", "version": 8, "verdict": "pass", "created_at": rt.clock.now()}
        connection.execute(candidates.insert().values(values))
    freeze(rt, ALL, reason="audit", by="ada")
    planned = plan_rollout(spec, rt, run, hands=world.hands())
    assert (planned.rollout_id, planned.reason) == (None, "everything is frozen since 2013-08-01 00:00 UTC by ada: audit")
    with transaction(rt.engine) as connection:
        assert connection.execute(select(candidates.c.state)).scalar_one() == "open"
    unfreeze(rt, ALL, reason="over", by="ada")
    assert plan_rollout(spec, rt, run, hands=world.hands()).rollout_id is not None


def test_a_frozen_rollout_waits_but_goes_back_when_a_check_fails(rt, world, open_rollout, gateway_log):
    rollout_id = open_rollout(**QUICK)
    drive_once(rt, rollout_id, "driver", hands=world.hands())
    freeze(rt, "churn", reason="audit", by="ada")
    gateway_log(7, 500)
    gateway_log(8, 500)
    for _ in range(3):
        assert drive_once(rt, rollout_id, "driver", hands=world.hands()) is None
    assert world.weights == {7: 90, 8: 10}
    gateway_log(8, 500, failed=400)
    assert drive_once(rt, rollout_id, "driver", hands=world.hands()).state == "rolled_back"
    assert world.weights == {7: 100}


def test_return_traffic_ends_open_rollouts(rt, world, open_rollout, monkeypatch):
    from include.lifecycle.rollout import driver

    monkeypatch.setattr(driver, "usual_hands", lambda rt: world.hands())
    rollout_id = open_rollout(**QUICK)
    drive_once(rt, rollout_id, "driver", hands=world.hands())
    assert rolling_out(rt) == ["churn"]
    (said,) = return_all_traffic(rt, ["churn", "fares"], reason="wrong prices", by="ada")
    assert said == f"churn: rollout {rollout_id} aborted; frozen by ada: wrong prices"
    assert (world.weights, rolling_out(rt)) == ({7: 100}, [])


def test_the_command_freezes_with_little_work_and_without_airflow(rt, capsys):
    settings = load_settings(
        {
            "MODELOPS_DATABASE_URL": rt.settings.database_url,
            "MODELOPS_PASSFILE": str(rt.settings.passfile),
            "MODELOPS_AIRFLOW_URL": "http://127.0.0.1:1",
        }
    )
    began = time.process_time()
    assert main(["freeze", "--all", "--reason", "audit", "--by", "ada"], settings=settings) == 0
    assert time.process_time() - began < 5
    assert why(rt)
    assert capsys.readouterr().out == "everything is frozen\n"
    assert main(["freeze", "--list"], settings=settings) == 1
    assert "by ada: audit" in capsys.readouterr().out
    assert main(["freeze", "flight_delay", "--reason", "prices", "--json"], settings=settings) == 0
    assert json.loads(capsys.readouterr().out) == {"frozen": "flight_delay", "changed": True, "returned": []}
    assert main(["unfreeze", "flight_delay", "--reason", "over"], settings=settings) == 1
    assert "everything is frozen" in capsys.readouterr().out
    assert main(["unfreeze", "--all", "--reason", "over"], settings=settings) == 0
    assert main(["freeze", "--list"], settings=settings) == 0
    assert capsys.readouterr().out.endswith("nothing is frozen\n")
    assert main(["freeze", "flight_delay", "--all", "--reason", "x"], settings=settings) == 2
    assert "got both model 'flight_delay' and --all; allowed: one of them" in capsys.readouterr().err
    assert main(["freeze", "--reason", "x"], settings=settings) == 2
    assert "got neither a model nor --all; name one model, or say --all" in capsys.readouterr().err
