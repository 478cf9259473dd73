"""`cli ledger` on a real database: entries in order, and who was champion when."""

from __future__ import annotations

import ast
import json
import re
from datetime import UTC, datetime

import pytest

from include.lifecycle.cli import main
from include.lifecycle.clock import FixedClock
from include.lifecycle.ledger import KINDS, Entry
from include.settings import PROJECT_ROOT


def day(number: int) -> datetime:
    return datetime(2013, 8, number, tzinfo=UTC)


def move(version: int | None, phase: str) -> Entry:
    after = {"champion": version} if version is not None else {}
    return Entry(
        model="churn",
        kind="promotion",
        act=f"promote {version}",
        reason="it was better",
        actor="test",
        phase=phase,
        version_after=version,
        evidence={"aliases_before": {}, "aliases_after": after},
    )


@pytest.fixture
def settings(make_runtime):
    """Settings of a database whose ledger holds two promotions, a failed one, a signal, and a rollback to nothing."""
    story = [
        (2, move(1, "intended")),
        (2, move(1, "done")),
        (5, move(2, "done")),
        (6, move(3, "failed")),
        (9, move(None, "done")),
    ]
    story.insert(3, (5, Entry(model="churn", kind="signal", act="raise decay", reason="gap\n0.15", actor="monitor")))
    story.append((9, Entry(model="other", kind="signal", act="raise", reason="not ours", actor="monitor")))
    for number, entry in story:
        rt = make_runtime(FixedClock(day(number)))
        rt.ledger.write(entry)
    return rt.settings


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ("2013-08-01", "churn has no champion at 2013-08-01 00:00:00 UTC"),
        ("2013-08-02", "champion of churn at 2013-08-02 00:00:00 UTC: version 1 ("),
        ("2013-08-05T02:00:00+02:00", "champion of churn at 2013-08-05 00:00:00 UTC: version 2 ("),
        ("2013-08-07", "champion of churn at 2013-08-07 00:00:00 UTC: version 2 ("),
        ("2013-08-09", "churn has no champion at 2013-08-09 00:00:00 UTC"),
    ],
)
def test_champion_at(settings, capsys, at, told):
    assert main(["ledger", "churn", "--at", at], settings=settings) == 0
    assert capsys.readouterr().out.startswith(told)


def test_entries_are_aligned_and_oldest_first(settings, capsys):
    assert main(["ledger", "churn"], settings=settings) == 0
    first, head, *lines = capsys.readouterr().out.splitlines()
    assert first == "churn has no champion now"
    assert len(lines) == 6
    assert [line[:10] for line in lines] == ["2013-08-02"] * 2 + ["2013-08-05"] * 2 + ["2013-08-06", "2013-08-09"]
    assert {line[head.index("KIND") - 1] for line in lines} == {" "}
    assert "not ours" not in "".join(lines)
    assert "gap 0.15" in lines[3]


def test_kind_and_limit(settings, capsys):
    assert main(["ledger", "churn", "--kind", "signal", "--at", "2013-08-06"], settings=settings) == 0
    out = capsys.readouterr().out
    assert "version 2" in out.splitlines()[0]
    assert len(out.splitlines()) == 3
    assert main(["ledger", "churn", "--limit", "1"], settings=settings) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("2013-08-09")


def test_json_lines_hold_the_evidence(settings, capsys):
    assert main(["ledger", "churn", "--json"], settings=settings) == 0
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(entries) == 6
    assert entries[1]["evidence"]["aliases_after"] == {"champion": 1}
    assert entries[1]["at"] == "2013-08-02T00:00:00+00:00"


def test_nothing_known(settings, capsys):
    assert main(["ledger", "nobody"], settings=settings) == 0
    assert capsys.readouterr().out == "nobody has no champion now\nno entries\n"


def test_a_dead_database_is_one_message(project, capsys):
    from dataclasses import replace

    dead = replace(project.settings, database_url="postgresql+psycopg2://modelops@127.0.0.1:1/modelops")
    assert main(["ledger", "churn"], settings=dead) == 2
    assert "did not answer" in capsys.readouterr().err


def test_all_kinds_that_are_written_can_be_asked_for_and_stand_in_the_docs(settings, capsys):
    sources = [file for folder in ("include", "plugins") for file in sorted((PROJECT_ROOT / folder).rglob("*.py"))]
    calls = [node for file in sources for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    entries = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Entry"]
    written = {
        one.value.value for call in entries for one in call.keywords if one.arg == "kind" and type(one.value) is ast.Constant
    }
    assert {"training", "rollout", "alert"} <= written <= set(KINDS)
    listed = re.search(r"one kind only \(([^)]*)\)", (PROJECT_ROOT / "docs" / "command-line.md").read_text())
    assert tuple(re.findall(r"`(\w+)`", listed[1])) == KINDS
    with pytest.raises(SystemExit) as ended:
        main(["ledger", "churn", "--kind", "trafic"], settings=settings)
    assert (ended.value.code, "invalid choice: 'trafic'" in capsys.readouterr().err) == (2, True)
