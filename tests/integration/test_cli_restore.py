"""`cli restore` with real DVC and MLflow: the very bytes that a version learnt from, or one message that says why not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from include.lifecycle.cli import main
from include.lifecycle.data.snapshot import snapshot_data
from include.lifecycle.registry.client import registry_client
from include.lifecycle.results import FetchedData
from tests.integration.registry_lab import Lab, lab_spec
from tests.integration.s3_server import BUCKET, s3_server

pytestmark = pytest.mark.integration


@pytest.fixture
def lab(make_runtime, mlflow_server) -> Lab:
    """A model with version 1, trained from a file that is a snapshot; its stage folders are gone."""
    return train_version(Lab(make_runtime(MODELOPS_MLFLOW_URL=mlflow_server), lab_spec(f"flights_{uuid4().hex[:8]}")))


def train_version(built: Lab) -> Lab:
    prepared = built.prepare(train_days=20, holdout_days=10)
    fetched = FetchedData(path=prepared.train, rows=2000, rows_in_window=2000, columns=[], seconds=0)
    snapshot = snapshot_data(built.spec, built.rt, built.run("snapshot_data"), fetched)
    trained = built.fit(prepared, "logistic_regression")
    built.register(prepared, trained, built.evaluate(prepared, trained), snapshot)
    return built


def remote_files(lab: Lab) -> list[Path]:
    return [path for path in lab.rt.storage.snapshot_remote.rglob("*") if path.is_file()]


def refused(lab: Lab, capsys, to: Path, *, model: str | None = None, version: int = 1, settings=None) -> str:
    """What is said when nothing is restored; no file and no rest of one may be there."""
    before = sorted(to.parent.iterdir()) if to.parent.is_dir() else None
    told = ["restore", model or lab.spec.name, str(version), "--to", str(to)]
    assert main(told, settings=settings or lab.rt.settings) == 2
    assert (sorted(to.parent.iterdir()) if to.parent.is_dir() else None) == before
    return capsys.readouterr().err


def test_the_very_bytes_come_back(lab: Lab, tmp_path: Path, capsys, monkeypatch) -> None:
    learnt_from = (lab.run("prepare_data").folder(lab.rt.storage) / "train.parquet").read_bytes()
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    assert main(["restore", lab.spec.name, "1", "--to", "deep/back.parquet"], settings=lab.rt.settings) == 0
    assert (tmp_path / "deep" / "back.parquet").read_bytes() == learnt_from
    tag = registry_client(lab.rt).get_model_version(lab.spec.name, "1").tags["snapshot_id"]
    said = f"wrote deep/back.parquet: training data of {lab.spec.name} version 1, {len(learnt_from)} bytes, md5 {tag}\n"
    assert capsys.readouterr().out == said
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["back.parquet"]
    # An existing file stays as it is, whatever it is.
    (tmp_path / "mine").write_text("mine")
    assert "mine exists already" in refused(lab, capsys, tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "mine"
    assert "exists already" in refused(lab, capsys, tmp_path / "deep")


def test_the_very_bytes_come_back_from_s3(make_runtime, mlflow_server, tmp_path: Path, capsys) -> None:
    with s3_server(tmp_path) as s3:
        remote = {"MODELOPS_SNAPSHOT_REMOTE": f"s3://{BUCKET}/models"} | s3.environment
        lab = train_version(Lab(make_runtime(MODELOPS_MLFLOW_URL=mlflow_server, **remote), lab_spec(f"s3_{uuid4().hex[:8]}")))
        assert not lab.rt.storage.snapshot_remote.exists()
        assert len(s3.objects()) == 1
        to = tmp_path / "back.parquet"
        assert main(["restore", lab.spec.name, "1", "--to", str(to)], settings=lab.rt.settings) == 0
        learnt_from = lab.run("prepare_data").folder(lab.rt.storage) / "train.parquet"
        assert to.read_bytes() == learnt_from.read_bytes()
        to.unlink()
        capsys.readouterr()
    assert "S3 does not answer" in refused(lab, capsys, to)


def test_what_is_not_there_is_named(lab: Lab, tmp_path: Path, capsys) -> None:
    name, to = lab.spec.name, tmp_path / "back.parquet"
    assert f"has no version 7 of {name}; there are 1" in refused(lab, capsys, to, version=7)
    assert "has no version 1 of nobody; the model has no versions" in refused(lab, capsys, to, model="nobody")
    (tmp_path / "file").touch()
    assert "cannot be written" in refused(lab, capsys, tmp_path / "file" / "back.parquet")
    dead = replace(lab.rt.settings, mlflow_url="http://127.0.0.1:1")
    assert "did not answer" in refused(lab, capsys, to, settings=dead)
    with pytest.raises(SystemExit) as ended:
        main(["restore", name, "newest", "--to", str(to)], settings=lab.rt.settings)
    assert ended.value.code == 2
    assert "got 'newest'; allowed: a version's number" in capsys.readouterr().err


def test_a_lost_or_changed_snapshot_is_refused(lab: Lab, tmp_path: Path, capsys) -> None:
    to, client = tmp_path / "back.parquet", registry_client(lab.rt)
    tag = client.get_model_version(lab.spec.name, "1").tags["snapshot_id"]
    (kept,) = remote_files(lab)
    kept.chmod(0o644)
    kept.write_bytes(b"x" * kept.stat().st_size)
    kept.chmod(0o444)
    assert f"snapshot {tag} is damaged in the remote" in refused(lab, capsys, to)
    kept.unlink()
    said = refused(lab, capsys, to)
    assert f"snapshot {tag} cannot be restored: the remote {lab.rt.storage.snapshot_remote} does not hold its content" in said
    assert len(said.splitlines()) == 1
    client.set_model_version_tag(lab.spec.name, "1", "snapshot_id", "f" * 32)
    assert f"its tag names snapshot {'f' * 32}, its pointer {tag}" in refused(lab, capsys, to)
