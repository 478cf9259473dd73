"""`cli retention` on a real MLflow: the plan in words, pins, and applying when there is nothing to do."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from include.lifecycle.cli import main
from include.lifecycle.registry.client import ensure_experiment, registry_client
from include.lifecycle.runtime import Runtime
from include.settings import PROJECT_ROOT, Settings
from tests.conftest import NOW

pytestmark = pytest.mark.integration


@pytest.fixture
def name(make_runtime, mlflow_server) -> str:
    rt: Runtime = make_runtime(MODELOPS_MLFLOW_URL=mlflow_server)
    name, client = f"kept_{uuid4().hex[:8]}", registry_client(rt)
    client.create_registered_model(name)
    experiment = ensure_experiment(rt, name)
    for version in (1, 2):
        logged = client.create_logged_model(experiment, name=name)
        registered = NOW.isoformat() if version == 1 else "2999-01-01T00:00:00+00:00"
        tags = {"registered_at": registered, "manifest_digest": "0" * 64, "stage": "None", "semver": f"1.{version}.0"}
        client.create_model_version(name, source=f"models:/{logged.model_id}", model_id=logged.model_id, tags=tags)
    return name


@pytest.fixture
def settings(name: str, make_runtime, mlflow_server, tmp_path: Path) -> Settings:
    """A project whose only model is `name`: the demo's second model with two versions, of which the newest one is kept."""
    home = tmp_path / "home"
    models, sql = home / "include/models", home / "include/sql/health_visits"
    models.mkdir(parents=True)
    sql.mkdir(parents=True)
    text = (PROJECT_ROOT / "include/models/health_visits.yaml").read_text()
    text = text.replace("name: health_visits", f"name: {name}")
    (models / f"{name}.yaml").write_text(f"{text}\nretention: {{keep_versions: 1, keep_known_good: 0}}\n")
    for file in (PROJECT_ROOT / "include/sql/health_visits").iterdir():
        (sql / file.name).write_text(file.read_text())
    return replace(make_runtime(MODELOPS_MLFLOW_URL=mlflow_server).settings, home=home)


def test_the_plan_is_told_with_reasons_and_changes_nothing(name: str, settings: Settings, capsys) -> None:
    assert main(["retention", name, "--dry-run"], settings=settings) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["VERSION", "SEMVER", "STAGE", "DECISION", "WHY"]
    assert first.split()[:4] == ["1", "1.1.0", "None", "archive"]
    assert "nobody needs it and nothing protects it" in first
    assert second.split()[:4] == ["2", "1.2.0", "None", "keep"]
    assert "retention.retire_after is 7d" in second
    assert main(["retention", name, "--json"], settings=settings) == 0
    plans = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(plan["version"], plan["decision"]) for plan in plans] == [(1, "archive"), (2, "keep")]


def test_a_pin_shows_in_the_plan_and_needs_a_reason(name: str, settings: Settings, capsys) -> None:
    assert main(["retention", name, "--pin", "1"], settings=settings) == 2
    assert "belong together" in capsys.readouterr().err
    assert main(["retention", name, "--pin", "1", "--reason", "an audit"], settings=settings) == 0
    assert capsys.readouterr().out == f"version 1 of {name} is pinned\n"
    assert main(["retention", name, "--json"], settings=settings) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["protected"] == ["pinned: an audit"]
    assert main(["retention", name, "--unpin", "1"], settings=settings) == 0
    assert main(["ledger", name, "--kind", "retention", "--json"], settings=settings) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [(row["act"], row["actor"]) for row in rows] == [
        ("pin 1", "command line:retention"),
        ("unpin 1", "command line:retention"),
    ]


def test_applying_a_plan_without_acts_does_nothing(name: str, settings: Settings, capsys) -> None:
    client = registry_client(Runtime(settings, None, None, None, None))  # type: ignore[arg-type]
    client.set_model_version_tag(name, "1", "registered_at", "2999-01-01T00:00:00+00:00")
    assert main(["retention", name, "--apply"], settings=settings) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "applied: archived none"
