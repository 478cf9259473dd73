"""`cli rollback` against a local server that answers as Airflow 3.3 does, and what it says when Airflow is away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from include.lifecycle.cli import main
from include.lifecycle.commands import rollback
from include.settings import Settings
from tests.unit.lifecycle.answering import answering

RUNS = "/api/v2/dags/rollback/dagRuns"
OUTCOME = {"rollout_id": 3, "model": "churn", "version": 8, "state": "rolled_back", "reason": "rollback by ann; now 7"}


@dataclass
class Airflow:
    """What the server knows, and what it was asked."""

    states: list[str] = field(default_factory=lambda: ["queued", "running", "success"])
    paused: bool = False
    asked: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/auth/token":
            return 201, {"access_token": "T"}
        if path == "/api/v2/dags/rollback":
            return 200, {"is_paused": self.paused}
        if (method, path) == ("POST", RUNS):
            self.asked.append(body)
            return 200, {}
        return 200, self._of_run(path)

    def _of_run(self, path: str) -> dict[str, Any]:
        if path.endswith("/taskInstances"):
            return {"task_instances": [{"task_id": "roll_back", "map_index": -1, "try_number": 1, "state": "failed"}]}
        if path.endswith("/xcomEntries/return_value"):
            return {"value": json.dumps(OUTCOME)}
        if "/logs/" in path:
            return {"content": [{"event": "churn: champion 7 has no previous version; name one (to_version)"}]}
        return {"state": self.states.pop(0) if len(self.states) > 1 else self.states[0]}


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Airflow, str]]:
    known = Airflow()
    monkeypatch.setattr(rollback, "_POLL", 0.01)
    with answering(lambda method, path, body, _: known.answer(method, path.partition("?")[0], body)) as url:
        yield known, url


@pytest.fixture
def settings(project, airflow, tmp_path) -> Settings:
    passwords = tmp_path / "passwords.json"
    passwords.write_text('{"admin": "right"}')
    return replace(project.settings, airflow_url=airflow[1], airflow_passwords=passwords)


def ask(settings: Settings, capsys, *options: str) -> tuple[int, str, str]:
    code = main(["rollback", "churn", *options], settings=settings)
    told = capsys.readouterr()
    return code, told.out, told.err


def test_it_starts_the_dag_and_tells_how_it_ended(settings, airflow, capsys):
    options = ("--reason", "wrong prices", "--reason-kind", "regulator", "--to-version", "5")
    code, out, err = ask(settings, capsys, *options)
    assert (code, out) == (0, "churn: rolled_back: rollback by ann; now 7\n")
    (asked,) = airflow[0].asked
    assert asked["conf"] == {"model": "churn", "reason": "wrong prices", "reason_kind": "regulator", "to_version": "5"}
    assert f"rollback run {asked['dag_run_id']}" in err
    code, out, _ = ask(settings, capsys, "--reason", "wrong prices", "--json")
    assert json.loads(out) == OUTCOME


def test_a_run_that_fails_is_exit_code_1_with_its_last_words(settings, airflow, capsys):
    airflow[0].states = ["failed"]
    code, out, _ = ask(settings, capsys, "--reason", "wrong prices")
    assert code == 1
    assert "has no previous version; name one" in out


def test_a_paused_dag_and_an_airflow_that_is_away_name_the_other_way(settings, airflow, capsys):
    airflow[0].paused = True
    code, _, err = ask(settings, capsys, "--reason", "wrong prices")
    assert (code, airflow[0].asked) == (2, [])
    assert "paused: unpause it, or act from here with --direct" in err
    away = replace(settings, airflow_url="http://127.0.0.1:1")
    locked = replace(settings, airflow_passwords=settings.home / "no-such-file.json")
    for unready in (away, locked):
        code, _, err = ask(unready, capsys, "--reason", "wrong prices")
        assert code == 2
        assert "with --direct the rollback needs no Airflow" in err


def test_a_run_that_takes_too_long_goes_on_by_itself(settings, airflow, capsys):
    airflow[0].states = ["running"]
    code, _, err = ask(settings, capsys, "--reason", "wrong prices", "--timeout", "0.05")
    assert code == 2
    assert "it goes on by itself" in err


@pytest.mark.parametrize("options", [(), ("--reason", "no"), ("--reason", "  x ", "--direct")])
def test_a_reason_is_asked_for(settings, airflow, capsys, options):
    code, _, err = ask(settings, capsys, *options)
    assert (code, airflow[0].asked) == (2, [])
    assert "a reason of at least three letters is asked for" in err
