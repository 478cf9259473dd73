"""`cli retraining` on a real database: the switch, what it says, and who else shows it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from include.lifecycle.cli import main


@pytest.fixture
def rt(make_runtime, project):
    return make_runtime(MODELOPS_HOME=str(project.home))


def cli(rt, capsys, *arguments):
    code = main(list(arguments), settings=rt.settings)
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def test_stop_and_start_are_told_and_kept(rt, capsys):
    assert cli(rt, capsys, "retraining", "churn", "status") == (
        0,
        "churn: unattended training runs (retraining.mode is auto)\n",
    )
    stop = ("retraining", "churn", "stop", "--reason", "audit", "--by", "ann")
    assert cli(rt, capsys, *stop) == (0, "churn: unattended training is stopped\n")
    assert cli(rt, capsys, *stop) == (0, "churn: unattended training is stopped already\n")
    code, told = cli(rt, capsys, "retraining", "churn", "status")
    assert code == 3
    assert "was stopped by ann on " in told
    assert ": audit" in told
    assert cli(rt, capsys, "retraining", "churn", "start", "--reason", "done")[0] == 0
    assert cli(rt, capsys, "retraining", "churn", "status")[0] == 0
    acts = [(row["act"], row["reason"]) for row in rt.ledger.read("churn", kind="decision")]
    assert acts == [("start unattended training", "done"), ("stop unattended training", "audit")]


def test_should_retrain_and_explain_show_a_stop(rt, capsys):
    cli(rt, capsys, "retraining", "churn", "stop", "--reason", "audit", "--by", "ann")
    assert "unattended training was stopped by ann" in cli(rt, capsys, "should-retrain", "churn")[1]
    told = " ".join(cli(rt, capsys, "explain", "churn")[1].split())
    assert "Switch: unattended training was stopped by ann" in told
    assert "Only people train." in told


def test_explain_works_without_the_database(rt, capsys):
    dead = replace(rt.settings, database_url="postgresql+psycopg2://modelops@127.0.0.1:1/modelops")
    assert main(["explain", "churn"], settings=dead) == 0
    assert "cannot be told: the database did not answer" in " ".join(capsys.readouterr().out.split())


def test_a_reason_is_asked_for(rt, capsys):
    code, told = cli(rt, capsys, "retraining", "churn", "stop")
    assert (code, told) == (2, "error: model churn: a reason is asked for; it stands in the ledger\n")
    assert cli(rt, capsys, "retraining", "chrun", "status")[0] == 2
