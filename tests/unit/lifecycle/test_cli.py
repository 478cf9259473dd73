"""The command line on a folder of its own: lint, explain, schema; exit codes; never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys

import jsonschema
import pytest
import yaml

from include.lifecycle.cli import main
from include.lifecycle.loading import load_all, load_model
from include.lifecycle.spec_docs import docs_text
from include.lifecycle.spec_schema import build_schema, schema_text
from include.lifecycle.wording import in_words
from include.lifecycle.wording_rollout import shortest_rollout
from include.settings import PROJECT_ROOT, load_settings
from tests.unit.lifecycle.conftest import CHURN


def test_lint_is_silent_about_nothing(project, capsys):
    assert main(["lint"], settings=project.settings) == 0
    assert capsys.readouterr().out == "churn: ok\nnote: dags/churn.py does not exist, so churn has no Dags\n"
    (project.home / "dags" / "churn.py").write_text("")
    project.overlay("")
    (project.home / "overlay" / "chrun.yaml").write_text("")
    assert main(["lint"], settings=project.settings) == 0
    out = capsys.readouterr().out
    assert "note: overlay" in out
    assert out.endswith("chrun.yaml belongs to no model; did you mean 'churn'?\n")


def test_lint_tells_every_model_and_exits_1(project, capsys):
    project.write("name: [", name="broken")
    project.write(f"{CHURN}serving: batch\n")
    assert main(["lint"], settings=project.settings) == 1
    told = capsys.readouterr().err
    assert "include/models/broken.yaml:2:1: not valid YAML" in told
    assert "include/models/churn.yaml:9:10: serving: 'batch' is not available yet; allowed now: online" in told
    assert main(["lint", "chrun"], settings=project.settings) == 1
    assert "did you mean 'churn'?" in capsys.readouterr().err


def test_lint_checks_expectations(project, capsys):
    def declare(item):
        project.write(CHURN.replace("target: left}", f"target: left, expectations: [{item}]}}"))

    declare("{expect_column_values_to_be_betwen: {column: age}}")
    assert main(["lint", "churn"], settings=project.settings) == 1
    assert "churn.yaml:5:" in (told := capsys.readouterr().err)
    assert "did you mean 'expect_column_values_to_be_between'?" in told
    declare("{expect_column_values_to_be_between: {column: age}}")  # a rule between arguments: the library's own
    assert main(["lint", "churn"], settings=project.settings) == 0
    assert main(["lint", "churn", "--expectations"], settings=project.settings) == 1
    assert "min_value and max_value cannot both be None" in capsys.readouterr().err


def test_explain_shows_values_origins_and_words(project, capsys):
    project.overlay("rollout: {bake: 5s, steps: [{percent: 10, at_least: 4s, requests: 30}]}\n")
    assert main(["explain", "churn"], settings=project.settings) == 0
    lines = capsys.readouterr().out.splitlines()
    row = {line.split()[0]: line for line in lines if line}
    assert row["owner"].split()[1:] == ["customer-care", "model", "include/models/churn.yaml:3:8"]
    assert row["rollout.bake"].split()[1:] == ["5s", "overlay", "overlay/churn.yaml:1:17"]
    assert row["rollout.steps[0]"].split()[1:7] == ["{percent:", "10,", "at_least:", "4s,", "requests:", "30}"]
    assert row["data.max_rows"].split()[2] == "default"
    starts = [line.index("  model  ") for line in (row["owner"], row["data.key"])]
    assert starts[0] == starts[1]
    said = " ".join(" ".join(lines).split())
    assert "Trains on the first day of each month at 02:00 UTC" in said
    assert "10 % for at least 4s and 30 requests, then all traffic. That takes at least 4s." in said
    assert "2 values come from" in said
    assert "not from the model's YAML: rollout.steps[0], rollout.bake." in said


def test_explain_changed_leaves_defaults_out(project, capsys):
    assert main(["explain", "churn", "--changed"], settings=project.settings) == 0
    assert " default " not in capsys.readouterr().out


def test_words_follow_the_values(project):
    lines = "tier: primary\nrisk: low\nrollout: {strategy: direct}\nretraining: {mode: off}\n"
    project.write(CHURN.replace("tier: secondary\n", lines).replace("roc_auc, floor: 0.6", "brier_score, floor: 0.2"))
    spec = load_model("churn", settings=project.settings)
    said = dict(in_words(spec))
    assert shortest_rollout(spec).total_seconds() == 0
    assert said["Training"].startswith("Trains every Sunday at 02:00 UTC")
    assert "(lower is better)" in said["Judgement"]
    assert "Never rolled out above 0.2." in said["Judgement"]
    assert said["Retraining"].startswith("No signal leads to a training")
    assert "strategy direct" in said["Rollout"]
    assert said["Person"] == "Nobody is asked before a rollout (risk low)."


def test_a_person_is_named_where_one_is_needed(project):
    project.write(f"{CHURN}approval: {{team: [ann, bob]}}\nrollout: {{on_inconclusive: hold}}\n")
    said = dict(in_words(load_model("churn", settings=project.settings)))
    assert "waits in Required Actions for one of ann, bob, but not for who asked" in said["Person"]
    assert said["Person"].endswith("A held rollout waits for a person.")


def test_errors_are_one_message_and_exit_code_2(project, capsys):
    assert main(["explain", "chrun"], settings=project.settings) == 2
    assert capsys.readouterr().err.startswith("error: no model 'chrun'")


def test_a_malformed_setting_is_one_message():
    command = [sys.executable, "-m", "include.lifecycle.cli", "lint"]
    done = subprocess.run(
        command, cwd=PROJECT_ROOT, env={"MODELOPS_SERVER_PORTS": "x"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: MODELOPS_SERVER_PORTS='x'; allowed: first-last")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [[], ["nope"], ["ledger", "churn", "--at", "soon"], ["ledger", "churn", "--limit", "0"]])
def test_wrong_arguments_exit_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_schema_json_is_current():
    assert (PROJECT_ROOT / "include" / "models" / "schema.json").read_text() == schema_text(load_settings({})), (
        "run `python -m include.lifecycle.cli schema --write`"
    )


def test_docs_yaml_is_current():
    assert (PROJECT_ROOT / "docs" / "yaml.md").read_text() == docs_text(load_settings({})), (
        "run `python -m include.lifecycle.cli schema --docs --write`"
    )


def test_schema_is_valid_and_accepts_what_loads(project):
    schema = build_schema(project.settings)
    jsonschema.Draft202012Validator.check_schema(schema)
    files = [project.model_file, *(PROJECT_ROOT / "include" / "models" / f"{name}.yaml" for name in load_all())]
    for file in files:
        jsonschema.validate(yaml.safe_load(file.read_text()), schema)
    for wrong in ("serving: batch", "rollout: {bake: 5}", "training: {seeds: 1}", "columns: {age: {pii: mask}}"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(yaml.safe_load(f"{CHURN}{wrong}\n"), schema)


def test_schema_prints_and_writes(project, capsys):
    assert main(["schema"], settings=project.settings) == 0
    assert json.loads(capsys.readouterr().out)["required"] == ["name", "owner", "tier", "data", "objective"]
    assert main(["schema", "--write"], settings=project.settings) == 0
    assert main(["schema", "--docs", "--write"], settings=project.settings) == 0
    assert (project.home / "include/models/schema.json").is_file()
    assert "| `max_rows` |" in (project.home / "docs/yaml.md").read_text()
