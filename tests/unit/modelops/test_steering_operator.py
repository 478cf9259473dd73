"""Steering and planning from Airflow, on a real database: whose name stands there, what fails the run, what the form refuses."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.lifecycle.errors import GateFailedError
from include.lifecycle.results import PlannedRollout
from include.lifecycle.rollout.driver import drive_once
from modelops.operators.rollout import ConcludeRolloutOperator, PlanRolloutOperator
from modelops.operators.steering import SteerRolloutOperator
from tests.unit.lifecycle.rollout.conftest import open_rollout, row_of, run, spec, world  # noqa: F401 - fixtures

QUICK = {"steps": [{"percent": 10, "at_least": "0s", "requests": 50}], "bake": "0s"}


def context(params=None, user="ada"):
    return {"dag_run": SimpleNamespace(triggering_user_name=user), "params": params or {}}


def steering(**given):
    return SteerRolloutOperator(task_id="steer", model="churn", patience=0.0, **given)


def test_a_run_of_the_dag_steers_in_the_name_of_who_started_it(rt, world, spec, run, open_rollout, row_of):  # noqa: F811
    rollout_id = open_rollout(**QUICK)
    drive_once(rt, rollout_id, "driver", hands=world.hands())
    pause = steering(command="pause", reason="a demonstration")
    stands = pause.stage(spec, rt, run, context())
    assert (stands.rollout_id, stands.state, row_of(rollout_id)["command"]["by"]) == (rollout_id, "running", "ada")
    drive_once(rt, rollout_id, "driver", hands=world.hands())
    assert pause.stage(spec, rt, run, context()).reason == "ada asked to pause: a demonstration", "tried again: asked once"
    assert row_of(rollout_id)["command"] is None
    asked = [row for row in rt.ledger.read("churn", kind="rollout") if row["act"] == "ask to pause"]
    assert [(row["actor"], row["run_id"]) for row in asked] == [("ada", run.run_id)]
    other = replace(run, run_id="manual__2")
    with pytest.raises(GateFailedError, match="cannot pause: it is paused already"):
        pause.stage(spec, rt, other, context())


def test_unknown_commands_are_refused(rt, spec, run):  # noqa: F811
    with pytest.raises(GateFailedError, match="command is 'stop'; allowed: pause, resume, skip, abort, conclude"):
        steering(command="stop", reason="because").stage(spec, rt, run, context())


@pytest.fixture
def planned(monkeypatch):
    """What planning answers, and what it was given."""
    given = {}

    def answer(result):
        def plan_rollout(*_, by_hand=None):
            given["by_hand"] = by_hand
            return result

        monkeypatch.setattr("include.lifecycle.rollout.planning.planning.plan_rollout", plan_rollout)
        return given

    return answer


def test_a_refused_plan_fails_the_run_and_no_candidate_skips_it(planned, rt, spec, run):  # noqa: F811
    operator = PlanRolloutOperator(task_id="plan_rollout", model="churn")
    planned(PlannedRollout(rollout_id=None, model="churn", reason="stage 1 needs 500 requests", refused=True))
    with pytest.raises(AirflowFailException, match="stage 1 needs 500 requests"):
        operator.stage(spec, rt, run, context())
    planned(PlannedRollout(rollout_id=None, model="churn", reason="no candidate waits"))
    with pytest.raises(AirflowSkipException, match="no candidate waits"):
        operator.stage(spec, rt, run, context())


def test_steps_by_hand_come_from_the_form_with_the_name_of_who_filled_it(planned, rt, spec, run):  # noqa: F811
    operator = PlanRolloutOperator(task_id="plan_rollout", model="churn")
    result = PlannedRollout(rollout_id=3, model="churn", reason="planned", estimate=["Traffic unknown."])
    given = planned(result)
    form = {"initial_traffic": 10, "increment": 10, "interval_minutes": 5}
    assert operator.stage(spec, rt, run, context(form)) is result
    assert given["by_hand"].told == "ada gave this run initial_traffic 10, increment 10, interval_minutes 5"
    operator.stage(spec, rt, run, context(dict.fromkeys(form)))
    assert given["by_hand"] is None
    with pytest.raises(GateFailedError, match="initial_traffic"):
        operator.stage(spec, rt, run, context({"initial_traffic": 120}))


@pytest.mark.parametrize(("state", "fails"), [("promoted", False), ("concluded", False), ("rolled_back", True), ("held", True)])
def test_how_a_rollout_ended_decides_over_its_run(rt, spec, run, state, fails):  # noqa: F811
    outcome = {"rollout_id": 3, "model": "churn", "version": 8, "state": state, "reason": "because"}
    operator, woken = ConcludeRolloutOperator(task_id="conclude", model="churn", outcome=outcome), []
    events = {"outlet_events": defaultdict(lambda: SimpleNamespace(add=woken.append))}
    if fails:
        with pytest.raises(AirflowFailException, match=f"ended {state}: because"):
            operator.stage(spec, rt, run, events)
    else:
        assert operator.stage(spec, rt, run, events).state == state
    assert len(woken) == (state == "promoted")
