"""The example GitHub workflow: it is YAML, its jobs hang together, and each command in it is one that the real parser takes."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import yaml

from include.lifecycle.cli import build_parser
from include.lifecycle.evaluation.quality import read_thresholds
from include.settings import PROJECT_ROOT

EXAMPLES = PROJECT_ROOT / "docs" / "examples"
WORKFLOW: dict[Any, Any] = yaml.safe_load((EXAMPLES / "github-workflow.yml").read_text())
JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]
SCRIPTS = [step["run"] for job in JOBS.values() for step in job["steps"] if "run" in step]


def commands() -> list[list[str]]:
    """Arguments of each call of our command line, variables filled in as the runner would."""
    given = {"$MODEL": "flight_delay", "$REASON": "a new feature", "$RUN_ID": "github__7", "$TRIALS": "5"}
    found = []
    for line in "\n".join(SCRIPTS).splitlines():
        if " -m include.lifecycle.cli " not in line:
            continue
        plain = re.sub(r"\$\{TRIALS:\+([^}]*)\}", r"\1", line.partition(" -m include.lifecycle.cli ")[2].partition("||")[0])
        found.append([given.get(word, word) for word in shlex.split(plain)])
    return found


def test_jobs_follow_each_other_and_none_is_named_that_is_not_there():
    assert list(JOBS) == ["retrain", "train", "validate", "deploy"]
    assert all(set(job.get("needs", [])) <= set(JOBS) for job in JOBS.values())
    assert JOBS["validate"]["needs"] == ["train"]
    triggers = WORKFLOW[True]  # YAML 1.1 reads the key `on` so
    assert set(triggers) == {"push", "schedule", "workflow_dispatch"}
    assert set(triggers["workflow_dispatch"]["inputs"]["retraining"]["options"]) == {"train-now", "check-only", "auto-trigger"}


@pytest.mark.parametrize("arguments", commands(), ids=lambda arguments: arguments[0])
def test_each_command_is_one_that_the_parser_takes(arguments: list[str]):
    build_parser().parse_args(arguments)


def test_every_command_that_ci_needs_is_shown():
    assert {arguments[0] for arguments in commands()} == {
        "should-retrain", "lint", "apply", "train", "check-quality", "versions", "ledger",
    }  # fmt: skip


def test_no_expression_is_pasted_into_a_script_and_no_secret_into_an_argument():
    assert [script for script in SCRIPTS if "${{" in script] == []
    assert all("TOKEN" not in " ".join(arguments) for arguments in commands())


def test_the_thresholds_are_readable():
    for section in ("flight_delay", "documents"):
        assert read_thresholds(EXAMPLES / "quality-thresholds.yml", section).limits
