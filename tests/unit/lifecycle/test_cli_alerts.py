"""`cli alerts`: list, show, take, end, incidents and how soon they were answered, with exit codes that a job can use."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from include.lifecycle.alerting.raising import AlertNotice, raise_alert
from include.lifecycle.alerting.telling import tell_alerts
from include.lifecycle.cli import main
from include.lifecycle.database import transaction
from include.lifecycle.tables import alerts


@pytest.fixture
def cli(rt, capsys):
    def run(*arguments):
        code = main(["alerts", *arguments], settings=rt.settings)
        return code, capsys.readouterr().out

    return run


@pytest.fixture
def number(rt):
    with transaction(rt.engine) as connection:
        told = {"kind": "decay", "severity": "P1", "title": "Skill is lost", "reason": "5 %", "evidence": {"effect": 0.05}}
        return raise_alert(connection, rt, AlertNotice(model="churn", key="signal:decay", **told), actor="test")


def test_nothing_stands(cli):
    assert cli("list") == (0, "no alerts\n")
    assert cli("incidents") == (0, "no incidents\n")


def test_an_alert_is_listed_shown_taken_and_ended(rt, cli, number):
    tell_alerts(rt, lambda parcels: [None] * len(parcels), wall=datetime.now(UTC) + timedelta(seconds=1))
    code, out = cli("list")
    assert code == 1
    assert all(word in out for word in ("P1", "WARNING", "churn", "Skill is lost", "5 %"))
    assert "log" in cli("show", str(number))[1]
    assert cli("ack", str(number), "--by", "ada", "--reason", "on it") == (0, "churn: ada has it: on it\n")
    assert json.loads(cli("list", "--json")[1])["acknowledged_by"] == "ada"
    assert "churn/decay" in cli("incidents")[1]
    assert cli("resolve", str(number), "--by", "ada", "--reason", "repaired")[0] == 0
    assert cli("list", "--severity", "P1") == (0, "no alerts\n")
    assert json.loads(cli("list", "--all", "--json")[1])["state"] == "resolved"


def test_an_alert_that_is_not_there_is_an_error(cli):
    assert cli("show", "99")[0] == 2
    assert cli("ack", "99")[0] == 2


def test_several_are_answered_at_once(rt, cli, number):
    with transaction(rt.engine) as connection:
        told = {"kind": "creep", "severity": "P3", "title": "Inputs creep", "reason": "slowly"}
        other = raise_alert(connection, rt, AlertNotice(model="churn", key="signal:creep", **told), actor="test")
    assert cli("ack", str(number), str(other), "--by", "ada")[1].splitlines() == ["churn: ada has it"] * 2


def test_late_answers_are_told(rt, cli, number):
    assert cli("response")[0] == 0
    with transaction(rt.engine) as connection:
        connection.execute(update(alerts).values(wall_at=datetime.now(UTC) - timedelta(hours=2)))
    code, out = cli("response", "--json")
    late = {row["severity"]: row["late"] for row in map(json.loads, out.splitlines())}
    assert (code, late) == (1, {"P0": 0, "P1": 1, "P2": 0, "P3": 0})
