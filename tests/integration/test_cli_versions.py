"""`cli versions` on a real MLflow: three registered versions, moved aliases, one registration that did not finish."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from include.lifecycle.cli import main
from include.lifecycle.registry.artefacts import MANIFEST_TAG
from include.lifecycle.registry.client import registry_client
from include.lifecycle.registry.promotion import promote
from tests.conftest import NOW
from tests.integration.registry_lab import Lab, lab_spec

pytestmark = pytest.mark.integration
DATA = {"train_days": 20, "holdout_days": 10}


@pytest.fixture
def lab(make_runtime, mlflow_server) -> Lab:
    return Lab(make_runtime(MODELOPS_MLFLOW_URL=mlflow_server), lab_spec(f"flights_{uuid4().hex[:8]}"))


def ask(lab: Lab, capsys, *options: str) -> list[str]:
    capsys.readouterr()
    assert main(["versions", lab.spec.name, *options], settings=lab.rt.settings) == 0
    return capsys.readouterr().out.splitlines()


def test_the_history_of_versions(lab: Lab, capsys) -> None:
    assert ask(lab, capsys) == [f"{lab.spec.name} has no versions"]
    assert ask(lab, capsys, "--json") == []
    for number in (1, 2):
        later = lab.at(NOW + timedelta(days=number))
        later.whole(f"scheduled__{number}", "logistic_regression", seed=number, **DATA)
        promote(later.rt, lab.spec.name, number, reason="a test", key=f"k{number}", actor="test")
    client = registry_client(lab.rt)
    cause = json.dumps({"cause": "decay:calibration_gap", "effect": 0.1})
    source = client.get_model_version(lab.spec.name, "2").source
    incomplete = client.create_model_version(lab.spec.name, source, model_id=source.removeprefix("models:/"))
    client.set_model_version_tag(lab.spec.name, "2", "cause", cause)

    head, *lines = ask(lab, capsys)
    assert [line.split()[0] for line in lines] == ["3", "2", "1"]
    starts = [
        head.index(name)
        for name in ("SEMVER", "STAGE", "ALIASES", "ALGORITHM", "METRIC", "FIT", "CAUSE", "SNAPSHOT", "REGISTERED")
    ]
    assert all(line[start - 1] == " " and line[start] != " " for line in lines for start in starts)
    assert lines[0].split()[1:5] == ["-", "None", "(unfinished)", "-"]
    second = lines[1].split()
    assert second[:6] == ["2", "1.0.1", "Production", "champion", "logistic_regression", "roc_auc"]
    assert second[-4:] == ["decay:calibration_gap", "0" * 32, "2013-08-03", "00:00"]
    assert lines[2].split()[1:4] == ["1.0.0", "Staging", "previous"]

    newest, champion, previous = (json.loads(line) for line in ask(lab, capsys, "--json"))
    assert (newest["version"], newest["complete"], newest["algorithm"]) == (int(incomplete.version), False, None)
    tags = client.get_model_version(lab.spec.name, "2").tags
    assert champion == {
        "version": 2,
        "semver": "1.0.1",
        "change": "patch: the same data, algorithm and rules again",
        "stage": "Production",
        "aliases": ["champion"],
        "algorithm": "logistic_regression",
        "metric": "roc_auc",
        "metric_value": float(tags["metric_value"]),
        "fit_until": tags["fit_until"].replace("+00:00", "Z"),
        "cause": "decay:calibration_gap",
        "snapshot_id": "0" * 32,
        "registered_at": "2013-08-03T00:00:00Z",
        "complete": MANIFEST_TAG in tags,
    }
    assert (previous["aliases"], previous["cause"], previous["complete"]) == (["previous"], "schedule", True)

    head, *events = ask(lab, capsys, "--history")
    assert head.split()[:2] == ["AT", "(UTC)"]
    told = [json.loads(line) for line in ask(lab, capsys, "--history", "--json")]
    assert len(events) == len(told)
    assert [event["act"] for event in told if event["kind"] != "promotion"] == ["register version"] * 2
    last = next(event for event in reversed(told) if event["act"] == "promote 2")
    assert last["stages"] == {"1": ["Production", "Staging"], "2": ["Staging", "Production"]}
    assert "1: Production > Staging" in "\n".join(events)


def test_a_dead_registry_is_one_message(lab: Lab, capsys) -> None:
    dead = replace(lab.rt.settings, mlflow_url="http://127.0.0.1:1")
    assert main(["versions", lab.spec.name], settings=dead) == 2
    assert "did not answer" in capsys.readouterr().err
