"""`cli apply` against a local server that answers as Airflow 3.3 does (tokens, pages, 201, 401, 409)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs, urlsplit

import pytest

from include.lifecycle.cli import main
from include.settings import Settings
from tests.unit.lifecycle.answering import answering
from tests.unit.lifecycle.conftest import CHURN

DUPLICATE = {"detail": {"reason": "Unique constraint violation"}}


@dataclass
class Airflow:
    """What the server knows, and what it was asked."""

    dags: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    parsed: list[str] = field(default_factory=list)
    pages: int = 0

    def answer(self, method: str, url: str, body: dict[str, str], token: str | None) -> tuple[int, object]:
        path, query = urlsplit(url).path, parse_qs(urlsplit(url).query)
        if path == "/auth/token":
            good = body == {"username": "admin", "password": "right"}
            return (201, {"access_token": "T"}) if good else (401, {"detail": "Invalid credentials"})
        if token != "Bearer T":
            return 401, {"detail": "Not authenticated"}
        if method == "PUT" and (found := re.fullmatch(r"/api/v2/parseDagFile/(.+)", path)):
            self.parsed.append(found[1])
            return (409, DUPLICATE) if self.parsed.count(found[1]) > 1 else (201, None)
        start, size = int(query["offset"][0]), int(query["limit"][0])
        self.pages += 1
        if path == "/api/v2/importErrors":
            rows = [{"filename": name, "stack_trace": trace} for name, trace in self.errors.items()]
            return 200, {"import_errors": rows[start : start + size], "total_entries": len(rows)}
        assert query["exclude_stale"] == ["false"]
        page = [{"dag_id": name, "file_token": f"file-of-{name.rpartition('__')[2]}"} for name in self.dags[start : start + size]]
        return 200, {"dags": page, "total_entries": len(self.dags)}


@pytest.fixture
def airflow() -> Iterator[tuple[Airflow, str]]:
    known = Airflow()
    with answering(known.answer) as url:
        yield known, url


@pytest.fixture
def settings(project, airflow) -> Settings:
    (project.home / "dags" / "churn.py").write_text("")
    passwords = project.home / "passwords.json"
    passwords.write_text('{"ann": "x", "admin": "right"}')
    return replace(project.settings, airflow_url=airflow[1], airflow_passwords=passwords)


def test_each_file_is_asked_for_once(settings, airflow, capsys):
    airflow[0].dags = ["decide", "train__churn", "deploy__churn", "train__other"]
    assert main(["apply", "churn"], settings=settings) == 0
    assert airflow[0].parsed == ["file-of-churn"]
    assert capsys.readouterr().out == "churn: Airflow reads its Dag file again\n"
    assert main(["apply"], settings=settings) == 0


def test_all_pages_are_read(settings, airflow):
    airflow[0].dags = [f"train__m{number}" for number in range(250)] + ["train__churn"]
    assert main(["apply", "churn"], settings=settings) == 0
    assert airflow[0].parsed == ["file-of-churn"]
    assert airflow[0].pages == 4


def test_a_broken_yaml_is_told_and_the_others_are_applied(project, settings, airflow, capsys):
    airflow[0].dags = ["train__churn", "train__broken"]
    project.write(CHURN, name="broken")
    assert main(["apply"], settings=settings) == 1
    told = capsys.readouterr()
    assert "broken.yaml:1:7: name: got 'churn'" in told.err
    assert airflow[0].parsed == ["file-of-churn"]


def test_what_airflow_does_not_know_is_said(project, settings, airflow, capsys):
    airflow[0].errors = {"churn.py": "Traceback ...\nSpecInvalidError: churn: 1 problem\n", "x.py": "not ours"}
    assert main(["apply", "churn"], settings=settings) == 0
    said = capsys.readouterr().out
    assert "churn: Airflow has not been able to read its Dag file yet" in said
    assert "note: before this, Airflow could not read churn.py: SpecInvalidError: churn: 1 problem" in said
    assert "not ours" not in said
    (project.home / "dags" / "churn.py").unlink()
    assert main(["apply", "churn"], settings=settings) == 0
    assert "nothing to read, dags/churn.py does not exist" in capsys.readouterr().out


def test_refusals_are_one_message(settings, airflow, capsys):
    wrong = settings.airflow_passwords.with_name("wrong.json")
    wrong.write_text('{"admin": "wrong"}')
    cases = [
        (replace(settings, airflow_passwords=wrong), "Airflow refused POST /auth/token: 401"),
        (replace(settings, airflow_url="http://127.0.0.1:1"), "Airflow at http://127.0.0.1:1 did not answer"),
        (replace(settings, airflow_passwords=wrong.with_name("none.json")), "expected a JSON file {user: password}"),
    ]
    for changed, told in cases:
        assert main(["apply", "churn"], settings=changed) == 2
        error = capsys.readouterr().err
        assert told in error
        assert "right" not in error


def test_no_models(settings, project, capsys):
    project.model_file.unlink()
    assert main(["apply"], settings=settings) == 0
    assert capsys.readouterr().out.startswith("no models in ")
