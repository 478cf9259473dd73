"""`cli drill --last`: the newest drill's figures and an exit code for its verdict."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from include.lifecycle.cli import main
from include.lifecycle.rollout.drills.drill import _note
from include.lifecycle.rollout.drills.report import DrillReport
from include.lifecycle.runtime import RunContext


def report(verdict: str, **changes) -> DrillReport:
    figures = {"detection": 1.73, "decision": 0.03, "traffic": 0.05, "recovery": 1.82, "requests": 449, "failed": 0}
    told = {"model": "_drill_x", "at": datetime(2026, 11, 22, tzinfo=UTC), "verdict": verdict, "reason": "all was well"}
    return DrillReport.model_validate(figures | told | changes)


def last(rt, capsys, *options: str) -> tuple[int, str]:
    code = main(["drill", "--last", *options], settings=rt.settings)
    return code, capsys.readouterr().out


def test_there_was_none(rt, capsys):
    assert last(rt, capsys) == (3, "there was no drill yet\n")
    assert last(rt, capsys, "--json") == (3, "null\n")


@pytest.mark.parametrize(("verdict", "code"), [("pass", 0), ("fail", 1), ("inconclusive", 3)])
def test_the_newest_counts(rt, capsys, verdict, code):
    run = RunContext("drill", "run-1", "run_drill")
    _note(rt, run, report("fail"))
    _note(rt, run, report(verdict, backup_age=7200.0))
    found, said = last(rt, capsys)
    assert found == code
    assert f"drill of 2026-11-22 00:00 UTC: {verdict}" in said
    assert "decision to 0 %          0.05 s" in said
    assert "newest backup         2.0 h old" in said
    assert json.loads(last(rt, capsys, "--json")[1])["recovery"] == 1.82
    entry = rt.ledger.read("drill", kind="drill")[0]
    assert (entry["verdict"], entry["run_id"]) == (verdict, "run-1")
