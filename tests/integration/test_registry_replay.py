"""Replay on a real MLflow and a real snapshot: the same numbers again, and honest words when they are not."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from include.lifecycle.cli import main
from include.lifecycle.data.preparation import prepare_data
from include.lifecycle.data.snapshot import snapshot_data
from include.lifecycle.registry import replay as replaying
from include.lifecycle.registry.artefacts import fetch_version
from include.lifecycle.registry.client import aliases_of, versions_of
from include.lifecycle.registry.record import read_record
from include.lifecycle.registry.replay import Replay, recorded_spec, replay_version
from include.lifecycle.results import FetchedData, PreparedData, TrainedModel
from include.lifecycle.training.fitting import train_model
from include.lifecycle.training.tuning import open_study, run_trials
from include.lifecycle.verdicts import Outcome
from tests.integration.registry_lab import START, Lab, flights, lab_spec

pytestmark = pytest.mark.integration


@pytest.fixture
def lab(make_runtime, mlflow_server) -> Lab:
    lab = Lab(make_runtime(MODELOPS_MLFLOW_URL=mlflow_server), lab_spec(f"flights_{uuid4().hex[:8]}"))
    train(lab, "hist_gradient_boosting")
    return lab


def train(lab: Lab, algorithm: str | None) -> None:
    """One version from a fetched file, as a train Dag makes it; a study chooses where no algorithm is named."""
    file = lab.run("fetch_data").folder(lab.rt.storage) / "data.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = flights(START, 40, 60, seed=3)
    rows.to_parquet(file, index=False)
    fetched = FetchedData(path=file, rows=len(rows), rows_in_window=len(rows), columns=list(rows.columns), seconds=0.0)
    snapshot = snapshot_data(lab.spec, lab.rt, lab.run("snapshot_data"), fetched)
    prepared = prepare_data(lab.spec, lab.rt, lab.run("prepare_data"), lab.order(), fetched)
    trained = lab.fit(prepared, algorithm) if algorithm else tuned(lab, prepared)
    lab.register(prepared, trained, lab.evaluate(prepared, trained), snapshot)


def tuned(lab: Lab, prepared: PreparedData) -> TrainedModel:
    """Study and fit by the real stages."""
    plan = open_study(lab.spec, lab.rt, lab.run("prepare_data"), lab.order(), prepared)
    run_trials(lab.spec, lab.rt, lab.run("tune"), plan, prepared, 0)
    return train_model(lab.spec, lab.rt, lab.run("train_model"), lab.order(), plan, prepared)


def test_a_replay_gives_the_same_numbers_and_changes_nothing(lab: Lab, capsys) -> None:
    assert main(["replay", lab.spec.name, "1", "--json"], settings=lab.rt.settings) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["outcome"], report["data"], report["chosen"]) == ("pass", {}, {})
    assert set(report["environment"]) <= {"code_digest", "git_revision"}, "only the code may have been edited meanwhile"
    assert {"roc_auc", "brier_score"} <= set(report["metrics"])
    assert all(abs(new - old) <= 1e-9 for old, new in report["metrics"].values())
    assert [int(one.version) for one in versions_of(lab.rt, lab.spec.name)] == [1]
    assert aliases_of(lab.rt, lab.spec.name) == {}
    (row,) = lab.rt.ledger.read(lab.spec.name, kind="replay")
    assert (row["verdict"], row["version_before"], row["act"]) == ("pass", 1, "replay 1")
    written = Path(row["evidence"]["report"])
    assert json.loads(written.read_text())["outcome"] == "pass"
    assert "agree within 1e-09" in written.with_suffix(".md").read_text()
    assert main(["replay", lab.spec.name, "1"], settings=lab.rt.settings) == 0
    assert "version 1: pass" in capsys.readouterr().out


def test_other_numbers_fail_here_and_tell_nothing_elsewhere(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    context = lab.run("replay")
    real = replaying.task_metrics

    def shifted(*arguments):
        return {name: value + 1e-6 for name, value in real(*arguments).items()}

    with monkeypatch.context() as patch:
        patch.setattr(replaying, "task_metrics", shifted)
        failed = replay_version(lab.rt, context, Replay(lab.spec.name, 1))
        assert (failed.outcome, "same environment" in failed.reason) == (Outcome.FAIL, True)
        elsewhere = replace(lab.rt.settings, home=Path("/nonexistent"))
        told = replay_version(replace(lab.rt, settings=elsewhere), replace(context, run_id="other"), Replay(lab.spec.name, 1))
        assert told.outcome is Outcome.INCONCLUSIVE
        assert {"git_revision", "lock_digest"} <= set(told.environment)
    verdicts = [row["verdict"] for row in lab.rt.ledger.read(lab.spec.name, kind="replay")]
    assert verdicts == ["inconclusive", "fail"]


def test_a_lost_snapshot_is_an_error_and_no_verdict(lab: Lab, capsys) -> None:
    import shutil

    shutil.rmtree(lab.rt.storage.snapshot_remote)
    assert main(["replay", lab.spec.name, "1"], settings=lab.rt.settings) == 2
    assert "cannot be restored" in capsys.readouterr().err
    assert lab.rt.ledger.read(lab.spec.name, kind="replay") == []


def test_keys_that_are_newer_than_a_version_get_their_defaults(lab: Lab, tmp_path: Path) -> None:
    record = read_record(fetch_version(lab.rt, lab.spec.name, 1, tmp_path / "whole"))
    assert recorded_spec(record, lab.rt.settings) == lab.spec
    older = {name: value for name, value in record.spec.items() if name != "export"}
    older["retention"] = {"keep_versions": 3}
    read = recorded_spec(record.model_copy(update={"spec": older}), lab.rt.settings)
    assert (read.retention.keep_versions, read.retention.retire_after) == (3, timedelta(days=7))
    assert read.export == lab.spec.export


def test_a_study_is_run_again_only_where_it_can_be(lab: Lab, capsys) -> None:
    assert main(["replay", lab.spec.name, "1", "--tune"], settings=lab.rt.settings) == 2
    assert "tuning with 2 workers cannot be repeated" in capsys.readouterr().err


def test_a_replay_takes_the_feature_code_that_lies_with_the_version(make_runtime, mlflow_server, tmp_path: Path) -> None:
    features = {
        "numeric": ["distance", "gusts"],
        "categorical": ["carrier"],
        "transformer": "weather:make",
        "inputs": {"numeric": ["distance", "wind"], "categorical": ["carrier"]},
    }
    source = tmp_path / "home/include/features/weather.py"
    source.parent.mkdir(parents=True)
    source.write_text(
        "def make(rows):\n    return rows.assign(gusts=rows['wind'] * 2.0)[['distance', 'gusts', 'carrier']]\n", encoding="utf-8"
    )
    rt = make_runtime(MODELOPS_MLFLOW_URL=mlflow_server)
    rt = replace(rt, settings=replace(rt.settings, home=tmp_path / "home"))
    lab = Lab(rt, lab_spec(f"flights_{uuid4().hex[:8]}", features=features))
    train(lab, "logistic_regression")
    source.write_text(source.read_text().replace("2.0", "-3.0 + 100"), encoding="utf-8")
    report = replay_version(lab.rt, lab.run("replay"), Replay(lab.spec.name, 1))
    assert (report.outcome, report.data) == (Outcome.PASS, {})
    assert "code_digest" in report.environment


def test_a_study_of_one_worker_is_run_again(make_runtime, mlflow_server, postgres, capsys) -> None:
    rt = make_runtime(MODELOPS_MLFLOW_URL=mlflow_server, MODELOPS_OPTUNA_URL=postgres.url(postgres.create_database()))
    small = {"workers": 1, "trials": 5, "estimators": ["logistic_regression", "hist_gradient_boosting"], "study_plots": False}
    lab = Lab(rt, lab_spec(f"flights_{uuid4().hex[:8]}", training=small))
    train(lab, None)
    assert main(["replay", lab.spec.name, "1", "--tune", "--json"], settings=rt.settings) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["outcome"], report["chosen"], report["tuned"]) == ("pass", {}, True)
    assert main(["replay", lab.spec.name, "1"], settings=rt.settings) == 0
