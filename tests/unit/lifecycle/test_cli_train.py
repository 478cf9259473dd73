"""`cli train` against a local server that answers as Airflow 3.3 does: one run per id, refusals, failures, gates, tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from include.lifecycle.cli import main
from include.lifecycle.commands import train
from include.settings import Settings
from tests.unit.lifecycle.answering import answering

RUNS = "/api/v2/dags/train__churn/dagRuns"
VERDICT = {"check": "floor", "outcome": "pass", "reason": "holds", "evidence": {"rows": 900}}
EVALUATION = {
    "verdicts": [VERDICT],
    "outcome": "pass",
    "metrics": {"roc_auc": 0.71},
    "baseline_metrics": {},
    "deployable": True,
    "reason": "every gate passed",
    "report": "/data/evaluation.json",
}
REGISTERED = {
    "model": "churn",
    "version": 4,
    "run_id": "m",
    "manifest_digest": "d",
    "engine": "onnx",
    "candidate_id": 9,
    "reason": "every gate passed",
}


@dataclass
class Airflow:
    """What the server knows, and what it was asked. `states` are given in turn, the last one again and again."""

    states: list[str] = field(default_factory=lambda: ["running", "success"])
    tasks: list[dict[str, Any]] = field(default_factory=list)
    registered: dict[str, Any] = field(default_factory=lambda: dict(REGISTERED))
    paused: bool = False
    away: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    logins: int = 0

    def answer(self, method: str, path: str, body: dict[str, Any], token: str | None) -> tuple[int, Any]:
        if path == "/auth/token":
            self.logins += 1
            return 201, {"access_token": "T"}
        if token != "Bearer T":
            return 401, {"detail": "Not authenticated"}
        if path == "/api/v2/dags/train__churn":
            return 200, {"is_paused": self.paused}
        if (method, path) == ("POST", RUNS):
            self.asked.append(body)
            return (409, {"detail": "there already"}) if len(self.asked) > 1 else (200, {})
        if self.away:
            self.away -= 1
            return 503, {"detail": "starting"}
        return self._of_run(path.removeprefix(f"{RUNS}/"))

    def _of_run(self, rest: str) -> tuple[int, Any]:
        _, _, rest = rest.partition("/")
        if not rest:
            return 200, {"state": self.states.pop(0) if len(self.states) > 1 else self.states[0]}
        if rest == "taskInstances":
            return 200, {"task_instances": self.tasks}
        if rest.endswith("/xcomEntries/return_value"):
            result = self.registered if "register_model" in rest else EVALUATION
            return 200, {"value": json.dumps(result)}
        return 200, {"content": [{"event": "Skipping"}, {"event": "model churn: 8 trainings spend the budget"}]}


def task(name: str, state: str) -> dict[str, Any]:
    return {"task_id": name, "map_index": -1, "try_number": 1, "state": state}


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Airflow, str]]:
    known = Airflow(tasks=[task("confirm_training", "success"), task("register_model", "success")])
    monkeypatch.setattr(train, "_POLL", 0.01)
    with answering(lambda method, path, *rest: known.answer(method, path.partition("?")[0], *rest)) as url:
        yield known, url


@pytest.fixture
def settings(project, airflow, tmp_path: Path) -> Settings:
    passwords = tmp_path / "passwords.json"
    passwords.write_text('{"admin": "right"}')
    return replace(project.settings, airflow_url=airflow[1], airflow_passwords=passwords)


def ask(settings: Settings, capsys, *options: str) -> tuple[int, str, str]:
    code = main(["train", "churn", *options], settings=settings)
    told = capsys.readouterr()
    return code, told.out, told.err


def test_it_starts_a_run_with_what_was_said(settings: Settings, airflow, capsys) -> None:
    code, out, _ = ask(settings, capsys, "--reason", "new feature", "--trials", "5", "--force", "--run-id", "ci-1")
    assert (code, out) == (0, "started ci-1\n")
    conf = {"reason": "new feature", "trials": 5, "force": True}
    assert airflow[0].asked == [{"dag_run_id": "ci-1", "logical_date": None, "conf": conf}]


def test_waiting_for_the_same_run_again_starts_nothing_new(settings: Settings, airflow, tmp_path: Path, capsys) -> None:
    ask(settings, capsys, "--run-id", "ci-1")
    airflow[0].away = 3
    metrics = tmp_path / "metrics.json"
    code, out, _ = ask(settings, capsys, "--run-id", "ci-1", "--wait", "--json", "--metrics-file", str(metrics))
    told = json.loads(out)
    assert (code, told["version"], told["deployable"], told["train_run"]) == (0, 4, True, "ci-1")
    record = json.loads(metrics.read_text())
    assert (record["metrics"], record["rows"], record["version"]) == ({"roc_auc": 0.71}, 900, 4)


def test_gates_that_say_no_are_exit_code_1(settings: Settings, airflow, capsys) -> None:
    airflow[0].registered |= {"candidate_id": None, "reason": "floor: misses"}
    code, out, _ = ask(settings, capsys, "--wait")
    assert (code, out) == (1, "registered churn version 4: is not rolled out: floor: misses\n")


def test_a_refused_training_is_exit_code_1_with_its_reason(settings: Settings, airflow, capsys) -> None:
    airflow[0].tasks = [task("confirm_training", "skipped"), task("register_model", "skipped")]
    code, out, _ = ask(settings, capsys, "--wait")
    assert code == 1
    assert "trained nothing" in out
    assert "8 trainings spend the budget" in out


def test_a_failed_run_is_an_error_that_names_the_task(settings: Settings, airflow, capsys) -> None:
    airflow[0].states, airflow[0].tasks = ["failed"], [task("fetch_data", "failed"), task("tune", "upstream_failed")]
    code, _, err = ask(settings, capsys, "--wait")
    assert code == 2
    assert "failed: fetch_data, tune\nSkipping" in err


def test_a_run_that_does_not_end_in_time_and_a_paused_dag(settings: Settings, airflow, capsys) -> None:
    airflow[0].states = ["running"]
    code, _, err = ask(settings, capsys, "--wait", "--timeout", "50ms")
    assert (code, "it goes on without this command" in err) == (2, True)
    airflow[0].paused, before = True, len(airflow[0].asked)
    code, out, _ = ask(settings, capsys)
    assert (code, "is paused in Airflow" in out, len(airflow[0].asked)) == (1, True, before)


def test_a_token_file_stands_in_for_a_password(settings: Settings, airflow, tmp_path: Path, capsys) -> None:
    token = tmp_path / "token"
    token.write_text("T\n")
    assert ask(replace(settings, airflow_token_file=token), capsys)[0] == 0
    assert airflow[0].logins == 0
    token.write_text("wrong")
    code, _, err = ask(replace(settings, airflow_token_file=token), capsys)
    assert (code, "401" in err, "wrong" in err) == (2, True, False)
    token.write_text("two\nlines")
    assert ask(replace(settings, airflow_token_file=token), capsys)[0] == 2
    assert ask(replace(settings, airflow_token_file=tmp_path / "none"), capsys)[0] == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--trials", "0"], "trials"),
        (["--trials", "100000"], "allowed: 1 to"),
        (["--method", "fast"], "method 'fast' is not available"),
        (["--metrics-file", "x"], "say --wait or --local"),
        (["--local"], "--url"),
        (["--local", "--url", "nonsense"], "no SQLAlchemy URL"),
        (["--local", "--url", "postgresql://a:b@c/d"], "carries a password"),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_starts(settings: Settings, airflow, capsys, options, told: str) -> None:
    code, _, err = ask(settings, capsys, *options)
    assert (code, told in err, airflow[0].asked) == (2, True, []), err
