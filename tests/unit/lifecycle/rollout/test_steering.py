"""A person's hand on a rollout, on a real database: what is written, taken up, declined, overtaken, and what the ledger says."""

import json

import pytest
from sqlalchemy import text

from include.lifecycle.cli import main
from include.lifecycle.database import transaction
from include.lifecycle.errors import GateFailedError, SourceUnavailableError
from include.lifecycle.rollout.driver import drive_once
from include.lifecycle.rollout.steering import steer
from include.lifecycle.tables import candidates, freezes
from tests.unit.lifecycle.rollout.test_driver import QUICK, drive


@pytest.fixture
def rolling_out(rt, world, open_rollout):
    """A rollout in its first stage, driven by "driver"."""
    rollout_id = open_rollout(**QUICK | {"bake": "1h"})
    look(rt, rollout_id, world)
    return rollout_id


def look(rt, rollout_id, world, holder="driver"):
    return drive_once(rt, rollout_id, holder, hands=world.hands())


def ask(rt, world, command, reason="because", **more):
    return steer(rt, "churn", command, by="ada", reason=reason, hands=world.hands(), **more)


def said(rt):
    """The ledger of the rollout, oldest first, as (act, phase, actor)."""
    return [(row["act"], row["phase"], row["actor"]) for row in reversed(rt.ledger.read("churn", kind="rollout"))]


def traffic(gateway_log, world, count=300, failed=0):
    for version, weight in world.weights.items():
        gateway_log(version, count * weight // 50, failed=failed if version == 8 else 0)


def test_pause_resume_and_skip_are_taken_up_at_the_next_look(rt, world, rolling_out, row_of, gateway_log):
    ask(rt, world, "pause", "a demonstration at noon")
    assert row_of(rolling_out)["command"]["by"] == "ada"
    look(rt, rolling_out, world)
    row = row_of(rolling_out)
    assert (row["command"], row["status"]["paused"], row["state"]) == (None, True, "running")
    traffic(gateway_log, world)
    for _ in range(3):
        look(rt, rolling_out, world)
    assert world.weights == {8: 10, 7: 90}
    assert row_of(rolling_out)["reason"].startswith("paused; ")
    ask(rt, world, "resume")
    look(rt, rolling_out, world)
    assert row_of(rolling_out)["status"]["measurement"]["requests"] == 60, "a pause loses no evidence"
    ask(rt, world, "skip", "seen enough")
    look(rt, rolling_out, world)
    assert world.weights == {8: 50, 7: 50}
    asked = [("ask to pause", "noted", "ada"), ("ask to resume", "noted", "ada"), ("ask to skip", "noted", "ada")]
    assert [one for one in said(rt) if one[0].startswith("ask")] == asked
    assert ("shift_traffic", "done", f"rollout:{rolling_out}") == said(rt)[-1]
    assert rt.ledger.read("churn", kind="rollout")[0]["reason"].startswith("ada asked to skip: seen enough")


def test_paused_still_goes_back_when_a_check_fails(rt, world, rolling_out, gateway_log):
    ask(rt, world, "pause")
    look(rt, rolling_out, world)
    traffic(gateway_log, world, failed=60)
    outcome = look(rt, rolling_out, world)
    assert (outcome.state, world.weights) == ("rolled_back", {7: 100})


def test_a_frozen_model_stands_still_and_still_goes_back(rt, world, rolling_out, gateway_log, row_of):
    with transaction(rt.engine) as connection:
        values = {"model": "churn", "reason": "an incident", "by": "grace", "at": rt.clock.now()}
        connection.execute(freezes.insert().values(values))
    traffic(gateway_log, world)
    ask(rt, world, "skip")
    look(rt, rolling_out, world)
    assert (world.weights, row_of(rolling_out)["command"]) == ({8: 10, 7: 90}, None)
    declined = rt.ledger.read("churn", kind="rollout")[0]
    assert (declined["act"], declined["phase"]) == ("decline to skip", "noted")
    assert "not now: churn is frozen since" in declined["reason"]
    traffic(gateway_log, world, failed=60)
    assert look(rt, rolling_out, world).state == "rolled_back"


def test_one_command_waits_at_a_time_and_only_an_abort_overtakes(rt, world, rolling_out, row_of):
    ask(rt, world, "pause")
    with pytest.raises(GateFailedError, match="has not yet taken up that ada asked to pause"):
        ask(rt, world, "skip")
    ask(rt, world, "abort", "enough")
    assert row_of(rolling_out)["command"]["wish"] == "abort"
    outcome = look(rt, rolling_out, world)
    assert (outcome.state, outcome.reason, world.weights) == ("aborted", "ada asked to abort: enough", {7: 100})
    assert row_of(rolling_out)["command"] is None


def test_an_abort_that_comes_while_the_driver_decides_is_not_lost(rt, world, rolling_out, monkeypatch, row_of):
    ask(rt, world, "pause")
    from include.lifecycle.rollout import machine

    real = machine.step

    def step(*given):
        monkeypatch.setattr(machine, "step", real)
        ask(rt, world, "abort", "meanwhile")
        return real(*given)

    monkeypatch.setattr(machine, "step", step)
    assert look(rt, rolling_out, world) is None
    assert row_of(rolling_out)["command"]["wish"] == "abort"
    assert look(rt, rolling_out, world).state == "aborted"


def test_an_abort_needs_no_finished_step_forward(rt, world, open_rollout):
    rollout_id = open_rollout(**QUICK)
    world.fail["ensure_server"] = SourceUnavailableError("supervisord is down")
    with pytest.raises(SourceUnavailableError):
        look(rt, rollout_id, world)
    ask(rt, world, "abort", "never mind")
    world.fail.clear()
    outcome = look(rt, rollout_id, world)
    assert (outcome.state, world.weights) == ("aborted", {7: 100})
    assert ("traffic", {8: 10, 7: 90}) not in world.log


def test_without_a_driver_an_abort_is_carried_out_here(rt, world, open_rollout, row_of):
    rollout_id = open_rollout(**QUICK)
    with pytest.raises(GateFailedError, match="waits for serving check and approval"):
        ask(rt, world, "pause")
    ask(rt, world, "abort", "not this week")
    row = row_of(rollout_id)
    assert (row["state"], row["reason"], row["command"]) == ("refused", "ada asked to abort: not this week", None)


def test_two_aborts_by_one_person_are_two_drivers(rt, world, open_rollout, row_of):
    """The second takes over from the first, which may only be slow: it must find its lease gone."""
    rollout_id = open_rollout(**QUICK)
    look(rt, rollout_id, world)
    world.fail["apply"] = SourceUnavailableError("the gateway is down")
    found = []
    for _ in range(2):
        with transaction(rt.engine) as connection:
            connection.execute(text("UPDATE rollouts SET lease_until = NULL"))
        with pytest.raises(SourceUnavailableError):
            ask(rt, world, "abort", "wrong prices")
        found.append((row_of(rollout_id)["lease_holder"], row_of(rollout_id)["epoch"]))
    assert found[0][0] != found[1][0]
    assert found[0][1] + 1 == found[1][1]


@pytest.fixture
def held(rt, world, open_rollout, row_of):
    """A rollout whose time was up without a conclusion: held with a part of the traffic."""
    rollout_id = open_rollout(**QUICK | {"on_inconclusive": "hold", "give_up_after": "1ms"})
    for _ in range(3):
        assert look(rt, rollout_id, world) is None
    assert (row_of(rollout_id)["state"], world.weights) == ("running", {8: 10, 7: 90})
    assert row_of(rollout_id)["reason"].startswith("held for a person")
    return rollout_id


def test_a_held_rollout_is_still_watched(rt, world, held, row_of, gateway_log):
    gateway_log(8, 200, failed=150)
    outcome = look(rt, held, world)
    assert (outcome.state, world.weights) == ("rolled_back", {7: 100})


def test_a_held_rollout_goes_on_by_a_person(rt, world, held, row_of):
    ask(rt, world, "skip", "seen enough")
    look(rt, held, world)
    assert (row_of(held)["status"]["held"], world.weights[8]) == (False, 50)


def test_a_held_rollout_is_given_back_by_an_abort(rt, world, held, row_of):
    rollout_id = held
    ask(rt, world, "abort", "nobody decided")
    look(rt, rollout_id, world)
    assert (row_of(rollout_id)["state"], world.weights, world.running.keys()) == ("aborted", {7: 100}, {7})
    with pytest.raises(GateFailedError, match="ended aborted"):
        ask(rt, world, "abort")


def test_the_same_dag_run_asks_once(rt, world, rolling_out, row_of):
    for _ in range(2):
        ask(rt, world, "pause", run_id="manual__7")
    look(rt, rolling_out, world)
    ask(rt, world, "pause", run_id="manual__7")
    assert row_of(rolling_out)["command"] is None
    assert len([one for one in said(rt) if one[0] == "ask to pause"]) == 1


def test_a_command_that_came_too_late_is_answered(rt, world, rolling_out, gateway_log, row_of):
    traffic(gateway_log, world, failed=60)
    ask(rt, world, "skip", "hurry")
    assert look(rt, rolling_out, world).state == "rolled_back"
    assert row_of(rolling_out)["command"] is None
    declined = [row for row in rt.ledger.read("churn", kind="rollout") if row["act"] == "decline to skip"]
    assert len(declined) == 1
    assert "error_rate fail" in declined[0]["reason"]


def test_reason_rollout_and_command_must_be_there(rt, world, rolling_out):
    with pytest.raises(GateFailedError, match="for a reason; got none"):
        ask(rt, world, "pause", " ")
    with pytest.raises(GateFailedError, match="other has no rollout to pause"):
        steer(rt, "other", "pause", by="ada", reason="because")
    with pytest.raises(GateFailedError, match="no A/B test runs now"):
        ask(rt, world, "conclude", winner="champion")


def test_a_newer_candidate_replaces_when_the_plan_says_so(rt, world, open_rollout):
    rollout_id = open_rollout(**QUICK | {"on_new_candidate": "replace"})
    look(rt, rollout_id, world)
    with transaction(rt.engine) as connection:
        newer = {"model": "churn", "version": 9, "state": "open", "verdict": "pass", "created_at": rt.clock.now()}
        connection.execute(candidates.insert().values(newer))
    outcome = look(rt, rollout_id, world)
    assert (outcome.state, outcome.reason) == ("aborted", "version 9 is newer and replaces it")
    assert world.weights == {7: 100}


def run(rt, *arguments):
    return main(["rollout", "churn", *arguments], settings=rt.settings)


def test_command_line(rt, world, rolling_out, capsys, gateway_log):
    assert run(rt, "status") == 0
    told = capsys.readouterr().out
    assert told.startswith(f"rollout {rolling_out}: version 8 of churn against champion 7, canary, running")
    assert "stage 1 of 2, 10 % of the traffic to the challenger" in told
    assert "driven by driver" in told
    assert run(rt, "pause", "--reason", "lunch", "--by", "ada", "--wait", "0") == 1
    assert "nobody has taken it up yet" in capsys.readouterr().out
    assert run(rt, "skip", "--reason", "now", "--wait", "0") == 1
    assert "only an abort may overtake it" in capsys.readouterr().err
    look(rt, rolling_out, world)
    assert run(rt, "status", "--json") == 0
    stands = json.loads(capsys.readouterr().out)
    assert (stands["paused"], stands["stage"], stands["weights"]) == (True, 1, {"8": 10, "7": 90})
    assert run(rt, "resume", "--reason", "back", "--wait", "0", "--json") == 1
    assert json.loads(capsys.readouterr().out) == {
        "rollout_id": rolling_out,
        "taken_up": False,
        "state": "running",
        "reason": "ada asked to pause: lunch",
    }
    traffic(gateway_log, world, failed=60)
    drive(rt, rolling_out, world, gateway_log, failed=1)
    assert run(rt, "status") == 1
    assert "ended: " in capsys.readouterr().out
    assert main(["rollout", "flight_delay", "status"], settings=rt.settings) == 1
    assert capsys.readouterr().out == "flight_delay never had a rollout\n"
    for act in ("status", "abort"):
        assert main(["rollout", "flight_delai", act, "--reason", "x"], settings=rt.settings) == 2
        assert "did you mean 'flight_delay'?" in capsys.readouterr().err
    assert main(["rollout", "flight_delay", "abort", "--reason", "x", "--json"], settings=rt.settings) == 1
    assert "refused" in json.loads(capsys.readouterr().out)


def test_status_tells_of_a_driver_that_went_away(rt, rolling_out, capsys):
    with transaction(rt.engine) as connection:
        connection.execute(text("UPDATE rollouts SET lease_until = now() - interval '5 minutes'"))
    run(rt, "status")
    assert "driven by nobody since 5" in capsys.readouterr().out
