"""Plan mode tells what planning would do, and writes nothing; deployments tell what rollouts did."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import func, select

from include.lifecycle.cli import main
from include.lifecycle.database import transaction
from include.lifecycle.rollout.approving.approval import ask_approval, vote
from include.lifecycle.rollout.driver import drive_once
from include.lifecycle.rollout.planning.planning import plan_rollout
from include.lifecycle.rollout.planning.preview import preview_rollout
from include.lifecycle.rollout.telling.deployments import find_deployment, list_deployments
from include.lifecycle.tables import candidates, freezes, ledger, rollouts, training_requests
from tests.unit.lifecycle.rollout.test_approval import planned_of
from tests.unit.lifecycle.rollout.test_approval_need import TAGS
from tests.unit.lifecycle.rollout.test_driver import QUICK


def tags_of(rt, model, version):
    return TAGS


@pytest.fixture
def preview(rt, world, spec):
    return lambda **given: preview_rollout(spec.model_copy(update=given), rt, hands=world.hands(), tags_of=tags_of)


@pytest.fixture
def waits(rt):
    """Write a candidate: `waits(8, evidence=...)`."""

    def write(version, **values):
        row = {"model": "churn", "version": version, "verdict": "pass", "created_at": rt.clock.now(), "run_id": "train-1"}
        with transaction(rt.engine) as connection:
            connection.execute(candidates.insert().values(row | values))

    return write


def counts(rt):
    with transaction(rt.engine) as connection:
        return [connection.execute(select(func.count()).select_from(table)).scalar_one() for table in (rollouts, ledger)]


def test_it_plans_what_planning_would_and_writes_nothing(rt, world, spec, run, waits, preview):
    waits(8)
    request = {"model": "churn", "source": "manual", "reason": "r", "requested_at": rt.clock.now(), "requested_by": "ada"}
    with transaction(rt.engine) as connection:
        connection.execute(training_requests.insert().values(request | {"run_id": "train-1"}))
    before = counts(rt)
    found = preview(risk="medium", approval=spec.approval.model_copy(update={"team": ["ada", "bob"]}))
    assert counts(rt) == before
    assert (found.version, found.champion, found.strategy, found.stops) == (8, 7, "canary", [])
    told = "\n".join(found.told())
    assert told.startswith("Would start for version 8 of churn.")
    assert "Stage 1, 10 % of the traffic to the challenger: 500 requests" in told
    assert "Approval: one person of the team must approve (risk medium, change small: only data and hyperparameters" in told
    assert found.approval.seats[0].users == ["bob"]
    planned = plan_rollout(spec.model_copy(update={"risk": "medium"}), rt, run, hands=world.hands())
    with transaction(rt.engine) as connection:
        stored = connection.execute(select(rollouts.c.plan).where(rollouts.c.id == planned.rollout_id)).scalar_one()
    differs = {name for name in stored if stored[name] != found.plan[name]}
    assert differs <= {"spec_hash", "estimate"}


def test_what_stands_in_the_way_is_told(rt, waits, preview, open_rollout):
    assert preview().stops == ["no candidate waits"]
    waits(9, state="held")
    assert preview().stops == ["no candidate waits; held for a person: version 9 (cli release)"]
    waits(10, evidence={"champion": 6})
    found = preview()
    assert (found.stops, found.version) == ([], 10)
    assert "it was judged against champion 6; it is judged against 7 first, and may fail" in found.notes
    number = open_rollout()
    assert f"rollout {number} of version 8 is open (planned)" in preview().stops[0]
    with transaction(rt.engine) as connection:
        connection.execute(freezes.insert().values(model="churn", reason="audit", by="eve", at=rt.clock.now()))
    assert "by eve: audit" in preview().stops[0]


def test_a_committee_that_cannot_meet_is_told(waits, preview, spec):
    waits(8)
    found = preview(risk="high", approval=spec.approval.model_copy(update={"committee": ["ann"]}))
    assert "2 of approval.committee (ann) must approve" in found.stops[0]


def test_a_deployment_tells_stage_votes_and_history(rt, world, spec, run, open_rollout):
    number = open_rollout(**QUICK, risk="medium")
    ask_approval(spec.model_copy(update={"risk": "medium"}), rt, run, planned_of(number), hands=world.hands(), tags_of=tags_of)
    vote(rt, run, number, 1, approved=True, by="bob", comment="go", hands=world.hands())
    drive_once(rt, number, "driver", hands=world.hands())
    with transaction(rt.engine) as connection:
        (one,) = list_deployments(connection, "churn", only_open=True)
        detail = find_deployment(connection, "churn", number)
        assert list_deployments(connection, "other") == []
        assert find_deployment(connection, "other", number) is None
    assert (one.state, one.environment, one.stage_number, one.weights) == ("running", "canary", 1, {7: 90, 8: 10})
    assert one.stage.startswith("10 % of the traffic")
    assert (detail.approval.result, detail.approval.votes[0]["by"]) == ("approved", "bob")
    acts = [(event.act, event.phase) for event in detail.history]
    assert acts == [
        ("ask for approval", "noted"),
        ("approve rollout", "noted"),
        ("shift_traffic", "intended"),
        ("shift_traffic", "done"),
    ]
    assert detail.history[-1].weights == {7: 90, 8: 10}


def test_the_command_lists_and_shows(rt, world, open_rollout, capsys):
    number = open_rollout(**QUICK)
    drive_once(rt, number, "driver", hands=world.hands())
    assert main(["deployments"], settings=rt.settings) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split()[:6] == [str(number), "churn", "8", "canary", "running", "canary"]
    assert main(["deployments", "churn", "--id", str(number)], settings=rt.settings) == 0
    assert "7: 90 %, 8: 10 %" in capsys.readouterr().out
    assert main(["deployments", "churn", "--id", str(number), "--json"], settings=rt.settings) == 0
    assert json.loads(capsys.readouterr().out)["deployment"]["state"] == "running"
    assert main(["deployments", "churn", "--json", "--open"], settings=rt.settings) == 0
    assert json.loads(capsys.readouterr().out)["id"] == number
    assert main(["deployments", "churn", "--id", "999"], settings=rt.settings) == 1
    assert capsys.readouterr().err == "churn has no rollout 999\n"
    with pytest.raises(SystemExit):
        main(["deployments", "--id", "1"], settings=rt.settings)
    assert main(["deployments", "flight_delay"], settings=rt.settings) == 0
    assert "no rollouts" in capsys.readouterr().out
    for more in ([], ["--id", "1"], ["--open", "--json"]):
        assert main(["deployments", "flight_delai", *more], settings=rt.settings) == 2
        told = capsys.readouterr()
        assert (told.out, "did you mean 'flight_delay'?" in told.err) == ("", True)
