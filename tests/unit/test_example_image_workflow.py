"""The example workflow of the serving image: real commands, files that exist, no secret or input pasted into a script."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from typing import Any

import yaml

from include.lifecycle.cli import build_parser
from include.settings import PROJECT_ROOT

WORKFLOW: dict[Any, Any] = yaml.safe_load((PROJECT_ROOT / "docs" / "examples" / "serving-image.yml").read_text())
SCRIPTS = [step["run"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "run" in step]
LINES = [line.strip() for line in "\n".join(SCRIPTS).splitlines()]


def test_its_export_is_one_that_the_parser_takes() -> None:
    (line,) = [line for line in LINES if " -m include.lifecycle.cli " in line]
    words = shlex.split(line.partition(" -m include.lifecycle.cli ")[2].replace("$MODEL", "churn").replace("$VERSION", "8"))
    assert build_parser().parse_args(words).format == "bundle"


def test_what_it_builds_is_what_the_dockerfiles_are() -> None:
    builds = [shlex.split(line) for line in LINES if line.startswith("docker build ")]
    files = {words[words.index("-f") + 1]: words for words in builds}
    assert set(files) == {"docker/serving.Dockerfile", "docker/model.Dockerfile"}
    for name, words in files.items():
        known = set(re.findall(r"^ARG (\w+)", (PROJECT_ROOT / name).read_text(), re.MULTILINE))
        assert {word.partition("=")[0] for before, word in pairwise(words) if before == "--build-arg"} <= known
    assert len([line for line in LINES if line.startswith("docker push ")]) == 2


def test_triggers_name_files_that_exist() -> None:
    for path in WORKFLOW[True]["push"]["paths"]:  # YAML 1.1 reads the key `on` so
        assert (PROJECT_ROOT / path.removesuffix("/**")).exists()


def test_no_expression_is_pasted_into_a_script_and_no_secret_into_an_argument() -> None:
    assert [script for script in SCRIPTS if "${{" in script] == []
    assert [line for line in LINES if "TOKEN" in line and "--password-stdin" not in line] == []
