"""`cli check-quality`: thresholds of a YAML against a metrics file, three-valued, with exit codes for CI."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from include.lifecycle.cli import main

DOCUMENTS = "accuracy: 0.85\nprecision: 0.82\nrecall: 0.80\nf1: 0.81\n"
GOOD = {"accuracy": 0.9, "precision": 0.82, "recall": 0.8, "f1": 0.85}


@pytest.fixture
def check(tmp_path: Path, capsys):
    def ask(metrics: object, thresholds: str = DOCUMENTS, *options: str) -> tuple[int, str, str]:
        (tmp_path / "metrics.json").write_text(metrics if isinstance(metrics, str) else json.dumps(metrics))
        (tmp_path / "thresholds.yaml").write_text(thresholds)
        files = ["--metrics", str(tmp_path / "metrics.json"), "--thresholds", str(tmp_path / "thresholds.yaml")]
        code = main(["check-quality", *files, *options])
        told = capsys.readouterr()
        return code, told.out, told.err

    return ask


@pytest.mark.parametrize(
    ("change", "code"),
    [({}, 0), ({"accuracy": 0.85}, 0), ({"accuracy": 0.8499}, 1), ({"recall": None}, 3), ({"recall": None, "f1": 0.1}, 1)],
)
def test_the_documents_thresholds(check, change: dict, code: int) -> None:
    assert check(GOOD | change)[0] == code
    assert check({"metrics": GOOD | change, "rows": 10})[0] == code


def test_a_smaller_error_is_better_and_both_bounds_can_be_said(check) -> None:
    assert check({"log_loss": 0.5}, "log_loss: 0.5")[0] == 0
    assert check({"log_loss": 0.51}, "log_loss: 0.5")[0] == 1
    assert check({"log_loss": 0.51}, "log_loss: {min: 0.5}")[0] == 0
    assert check({"action_rate": 0.2}, "action_rate: {min: 0.1, max: 0.15}")[0] == 1


def test_an_interval_across_its_limit_is_inconclusive(check) -> None:
    across = {"roc_auc": 0.7, "roc_auc_lower": 0.66, "roc_auc_upper": 0.74}
    assert check(across, "roc_auc: 0.66")[0] == 0
    assert check(across, "roc_auc: 0.67")[0] == 3
    assert check(across, "roc_auc: 0.75")[0] == 1
    assert check(across, "roc_auc: 0.67", "--allow-inconclusive")[0] == 0
    assert check(across, "roc_auc: 0.75", "--allow-inconclusive")[0] == 1


@pytest.mark.parametrize(("rows", "code"), [(300, 0), (299, 3), (None, 3)])
def test_too_few_rows_are_never_a_pass(check, rows: int | None, code: int) -> None:
    assert check({"metrics": GOOD, "rows": rows}, DOCUMENTS + "minimum_rows: 300\n")[0] == code


def test_a_section_and_the_words_of_the_verdicts(check) -> None:
    nested = "validation:\n  thresholds:\n    accuracy: 0.95\n"
    code, out, _ = check(GOOD, nested, "--section", "validation.thresholds")
    assert code == 1
    assert "accuracy 0.9000 misses the minimum 0.95" in out
    assert out.endswith("quality: fail\n")
    plain = json.loads(check(GOOD, nested, "--section", "validation.thresholds", "--json")[1])
    assert (plain["outcome"], plain["verdicts"][0]["evidence"]["value"]) == ("fail", 0.9)


@pytest.mark.parametrize(
    ("metrics", "thresholds", "told"),
    [
        ("not json", "accuracy: 1", "cannot be read"),
        ({"accuracy": "high"}, "accuracy: 1", "no number found"),
        ([1], "accuracy: 1", "no number found"),
        (GOOD, "[1]", "expected a mapping"),
        (GOOD, "minimum_rows: 3", "expected a mapping"),
        (GOOD, "accuracy: yes", "accuracy: got True; allowed: a number"),
        (GOOD, "accuracy: {least: 1}", "allowed: a number, or {min"),
        (GOOD, "a: [", "cannot be read"),
    ],
)
def test_what_cannot_be_judged_is_an_error(check, metrics: object, thresholds: str, told: str) -> None:
    code, _, err = check(metrics, thresholds)
    assert (code, told in err) == (2, True), err


def test_a_missing_section_is_named(check) -> None:
    code, _, err = check(GOOD, "validation: {accuracy: 1}", "--section", "validatoin")
    assert code == 2
    assert "did you mean 'validation'" in err
