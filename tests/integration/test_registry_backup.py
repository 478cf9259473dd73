"""Backup, check, restore; compare and card on the command line: all against a real MLflow, a real ledger and a real snapshot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from include.lifecycle.cli import main
from include.lifecycle.registry import backup as backing
from include.lifecycle.registry.artefacts import REMOVED_TAG
from include.lifecycle.registry.client import registry_client
from include.lifecycle.registry.promotion import promote
from include.lifecycle.registry.scoring import served_engine
from tests.integration.registry_lab import Lab
from tests.integration.test_registry_replay import lab, train  # noqa: F401 - `lab` is a fixture

pytestmark = pytest.mark.integration


@pytest.fixture
def two(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:  # noqa: F811
    """A model with two versions, the first of them champion; the server's other models stay out of the way."""
    lab.run_id = "manual__2"
    train(lab, "logistic_regression")
    promote(lab.rt, lab.spec.name, 1, reason="a test", key=f"{lab.spec.name}:1", actor="test")
    monkeypatch.setattr(backing, "_registered", lambda _rt: [lab.spec.name])
    return lab


def test_a_backup_is_whole_found_damaged_and_restored(two: Lab, tmp_path: Path, capsys) -> None:
    name, settings, folder = two.spec.name, two.rt.settings, tmp_path / "backup"
    assert main(["backup", "--to", str(folder), "--with-data"], settings=settings) == 0
    digest = capsys.readouterr().out.splitlines()[-1].removeprefix("digest ")
    assert main(["backup", "--check", str(folder), "--digest", digest], settings=settings) == 0
    assert f"{name} versions 1, 2" in capsys.readouterr().out
    assert [file.suffix for file in (folder / "models" / name / "snapshots").iterdir()] == [".parquet"]
    assert (folder / "config/include/models/_defaults.yaml").is_file()
    into = tmp_path / "restored"
    forged = ["backup", "--restore", str(folder), "--into", str(into), "--digest", "0" * 64]
    assert main(forged, settings=settings) == 2
    assert not into.exists()
    capsys.readouterr()
    assert main(["backup", "--restore", str(folder), "--into", str(into)], settings=settings) == 0
    assert "every digest verified" in capsys.readouterr().out
    engine, serving = served_engine(into / "served" / name / "2")
    golden = json.loads((into / "served" / name / "2" / "golden.json").read_text())
    columns = {one["name"]: one["data"] for one in golden["inputs"]["inputs"]}
    assert engine.predict(columns, len(golden["predictions"])).tolist() == pytest.approx(golden["predictions"], abs=1e-5)
    assert serving.version == 2
    rows = [json.loads(line) for line in (into / "models" / name / "ledger.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [row["id"] for row in two.rt.ledger.read(name, limit=1000)[::-1]]
    kept = json.loads((into / "models" / name / "registry.json").read_text())
    assert (kept["aliases"], [one["tags"]["semver"] for one in kept["versions"]]) == ({"champion": 1}, ["1.0.0", "1.1.0"])
    assert main(["backup", "--restore", str(folder), "--into", str(into)], settings=settings) == 2
    assert "is not empty" in capsys.readouterr().err

    model = folder / "models" / name / "versions/1/model.skops"
    content = model.read_bytes()
    model.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert main(["backup", "--check", str(folder)], settings=settings) == 1
    assert "model.skops" in capsys.readouterr().out
    assert main(["backup", "--to", str(folder), "--with-data"], settings=settings) == 0
    assert model.read_bytes() == content, "a refreshed backup fetches what was damaged again"
    assert main(["backup", "--check", str(folder)], settings=settings) == 0
    assert main(["backup", "--check", str(folder), "--digest", "0" * 64], settings=settings) == 1


def test_what_cannot_be_backed_up_is_named(two: Lab, tmp_path: Path, capsys) -> None:
    name = two.spec.name
    registry_client(two.rt).set_model_version_tag(name, "1", REMOVED_TAG, "2013-08-01")
    registry_client(two.rt).delete_model_version_tag(name, "2", "files_digest")
    assert main(["backup", "--to", str(tmp_path / "backup")], settings=two.rt.settings) == 0
    told = capsys.readouterr().out
    assert f"{name}/1: retention removed" in told
    assert f"{name}/2: its registration is unfinished" in told
    assert main(["backup", "--check", str(tmp_path / "backup")], settings=two.rt.settings) == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("x")
    assert main(["backup", "--to", str(tmp_path / "other")], settings=two.rt.settings) == 2


def test_two_versions_side_by_side(two: Lab, capsys) -> None:
    name, settings = two.spec.name, two.rt.settings
    assert main(["compare", name, "1", "2", "--json"], settings=settings) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["same_holdout"] is True
    assert found["identity"]["algorithm"] == ["hist_gradient_boosting", "logistic_regression"]
    assert found["params"]["C"] == [None, 1.0]
    assert (found["data"], found["features"], found["spec"]) == ({}, {}, {})
    assert set(found["environment"]) <= {"code_digest", "git_revision"}, "only the code may have been edited meanwhile"
    tags = [registry_client(two.rt).get_model_version(name, number).tags for number in ("1", "2")]
    assert found["digests"]["model_digest"] == [one["model_digest"] for one in tags]
    assert found["metrics"]["roc_auc"] == pytest.approx([float(one["metric_value"]) for one in tags], abs=1e-6)
    assert main(["compare", name, "1", "2"], settings=settings) == 0
    shown = capsys.readouterr().out
    assert "the same hold-out rows" in shown
    assert "roc_auc" in shown
    assert main(["compare", name, "1", "9"], settings=settings) == 2


def test_a_card_tells_where_the_version_stands(two: Lab, tmp_path: Path, capsys) -> None:
    name, settings = two.spec.name, two.rt.settings
    assert main(["card", name], settings=settings) == 0
    shown = capsys.readouterr().out
    assert yaml.safe_load(shown.split("---\n")[1])["model-index"][0]["name"] == name
    assert "stage Production, aliases: champion" in shown
    assert "promote 1" in shown
    assert main(["card", name, "2", "--html"], settings=settings) == 0
    assert "aliases: none" in capsys.readouterr().out
    assert main(["card", name, "2", "--to", str(tmp_path / "card")], settings=settings) == 0
    assert {file.name for file in (tmp_path / "card").iterdir()} == {"README.md", "card.html", "facts.json"}
    assert main(["card", name, "9"], settings=settings) == 2
