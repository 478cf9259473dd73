"""`cli should-retrain` on a real database: its answer is what `decide` then does, and asking writes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import insert, select, text

from include.lifecycle.cli import main
from include.lifecycle.clock import ShiftedClock, write_clock
from include.lifecycle.decisions.decide import decide
from include.lifecycle.decisions.preview import preview_decision
from include.lifecycle.loading import load_model
from include.lifecycle.runtime import RunContext
from include.lifecycle.tables import desired_traffic, metadata, signals, training_requests
from tests.conftest import NOW

DAY = timedelta(days=1)


@pytest.fixture
def rt(make_runtime, project, tmp_path):
    """A Runtime on the folder with the model churn; its clock, and that of the command line, stands at NOW."""
    write_clock(tmp_path / "clock.json", ShiftedClock(NOW, NOW, 0.0))
    return make_runtime(MODELOPS_HOME=str(project.home), MODELOPS_CLOCK_FILE=str(tmp_path / "clock.json"))


def add(rt, table, **values):
    with rt.engine.begin() as connection:
        connection.execute(insert(table).values({"model": "churn"} | values))


def open_signal(rt, cause="decay:calibration_gap", **changes):
    values = {
        "kind": cause.partition(":")[0],
        "cause": cause,
        "effect": 0.12,
        "severity": "act",
        "version": 1,
        "first_seen": NOW - 3 * DAY,
        "last_seen": NOW,
        "windows_failed": 5,
        "evidence": {"spanning_seconds": 3 * 86400, "reason": "mean prediction 0.29\nagainst 0.14"},
    }
    add(rt, signals, **(values | changes))


def requested(rt, days_ago, **changes):
    values = {"source": "schedule", "reason": "r", "state": "done", "requested_at": NOW - days_ago * DAY, "requested_by": "x"}
    add(rt, training_requests, **(values | changes))


def contents(rt):
    """All rows of all tables, and how often rows of each were ever written or deleted."""
    with rt.engine.begin() as connection:
        rows = {name: connection.execute(select(table)).all() for name, table in metadata.tables.items()}
        versions = {name: connection.execute(text(f"SELECT xmin::text, ctid::text FROM {name}")).all() for name in rows}
    return rows, versions


def ask(rt, capsys, *options):
    """Exit code, and what was printed; nothing may have been written."""
    before = contents(rt)
    code = main(["should-retrain", "churn", *options], settings=rt.settings)
    assert contents(rt) == before
    return code, capsys.readouterr().out


def test_a_confirmed_decay_would_retrain_and_then_does(rt, capsys):
    add(rt, desired_traffic, revision=1, champion=1)
    open_signal(rt)
    open_signal(rt, "covariate:age", severity="warn", evidence={})
    code, out = ask(rt, capsys)
    assert code == 0
    first, *lines = out.splitlines()
    assert first.startswith("churn would retrain at 2013-08-01 00:00:00 UTC: decay:calibration_gap: mean prediction 0.29 against")
    facts = dict(line.split("  ", 1) for line in lines if "  " in line)
    assert facts["champion"].strip() == "version 1"
    assert [line.split()[7] for line in lines[-2:]] == ["retrain", "retrain"]
    code, out = ask(rt, capsys, "--json")
    answer = json.loads(out)
    assert (code, answer["would_retrain"], answer["act"]) == (0, True, "retrain")
    assert answer["primary"] == answer["signals"][0]["id"]
    assert answer["evidence"]["state"]["champion"] == 1
    assert answer["evidence"]["rules"]["mode"] == "auto"
    spec = load_model("churn", settings=rt.settings)
    foretold = preview_decision(spec, rt).decision
    entry = rt.ledger.read("churn")
    assert entry == []
    assert decide([spec], rt, RunContext("all", "r1", "decide")).training_requested == ["churn"]
    told = {row["evidence"]["signal"]["id"]: (row["evidence"]["code"], row["reason"]) for row in rt.ledger.read("churn")}
    assert told == {number: (one.code, one.reason) for number, one in foretold.by_signal.items()}


def test_every_reason_against_it_is_told(rt, capsys):
    requested(rt, 0.5)
    open_signal(rt)
    open_signal(rt, "data_fault:age", severity="critical")
    code, out = ask(rt, capsys)
    assert code == 3
    assert "churn would not retrain (refuse) at" in out
    assert "training is frozen by data_fault:age; cooldown until 2013-08-0" in out.splitlines()[0]
    assert "refuse:frozen+cooldown" in out
    assert "alert:data_fault" in out
    code, out = ask(rt, capsys, "--json")
    assert (code, json.loads(out)["would_retrain"]) == (3, False)
    codes = [signal["decision"]["code"] for signal in json.loads(out)["signals"]]
    assert codes == ["refuse:frozen+cooldown", "alert:data_fault"]


def test_no_signal_still_shows_the_state(rt, capsys):
    requested(rt, 3, source="signal", state="failed")
    code, out = ask(rt, capsys)
    assert (code, out.splitlines()[0]) == (3, "churn would not retrain (none) at 2013-08-01 00:00:00 UTC: no open signal")
    assert "fruitless trainings   1" in out
    code, out = ask(rt, capsys, "--json")
    answer = json.loads(out)
    assert (code, answer["signals"], answer["evidence"]["state"]["fruitless"]) == (3, [], 1)


def test_a_suggestion_is_no_training(rt, capsys):
    for days_ago in (30, 20):
        requested(rt, days_ago, source="signal", state="failed")
    open_signal(rt)
    code, out = ask(rt, capsys)
    assert code == 3
    assert "would not retrain (suggest)" in out
    assert "a person should decide (2 trainings in a row promoted nothing)" in out


def test_a_spent_cause_is_named(rt, capsys):
    requested(rt, 30, source="signal")
    with rt.engine.begin() as connection:
        number = connection.execute(select(training_requests.c.id)).scalar_one()
    open_signal(rt, state="accepted", training_request_id=number)
    open_signal(rt, effect=0.15)
    code, out = ask(rt, capsys)
    assert code == 3
    assert "decay:calibration_gap until its effect is 0.18" in out
    assert "refuse:spent" in out


def test_it_waits_for_nobody_who_holds_the_models_lock(rt, capsys):
    from include.lifecycle.database import lock_model

    open_signal(rt)
    with rt.engine.begin() as connection:
        lock_model(connection, "churn")
        connection.execute(select(signals).with_for_update())
        assert main(["should-retrain", "churn"], settings=rt.settings) == 0
    assert "would retrain" in capsys.readouterr().out


def test_errors_are_one_message_and_2(rt, capsys):
    assert main(["should-retrain", "chrun"], settings=rt.settings) == 2
    assert "did you mean 'churn'?" in capsys.readouterr().err
    dead = replace(rt.settings, database_url="postgresql+psycopg2://modelops@127.0.0.1:1/modelops")
    assert main(["should-retrain", "churn"], settings=dead) == 2
    assert "did not answer" in capsys.readouterr().err
