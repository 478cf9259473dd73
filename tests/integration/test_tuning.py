"""The training stages on real rows, with a study in PostgreSQL and trials in MLflow: totals, kills, reruns, and dead servers."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import make_url

from include.lifecycle.errors import DataInvalidError, GateFailedError, SourceUnavailableError
from include.lifecycle.registry.client import registry_client
from include.lifecycle.results import PreparedData
from include.lifecycle.runtime import Runtime
from include.lifecycle.storage import sha256_of
from include.lifecycle.training.pipelines import feature_table
from include.lifecycle.training.study import load_study
from include.lifecycle.training.study_plots import log_study
from include.lifecycle.training.tuning import run_trials, tuning_data
from tests.conftest import PostgresServer, free_port
from tests.integration.trips_source import run_sql
from tests.integration.tuning_lab import SPEC, opened, prepared, rt, run, start_worker, trained, trial_runs, wait_for
from tests.unit.lifecycle.training.spec_for_tests import make_spec

__all__ = ["prepared", "rt"]
pytestmark = pytest.mark.integration


def test_a_study_is_opened_once_with_every_familys_defaults_first(rt: Runtime, prepared: PreparedData):
    plan = opened(rt, prepared)
    assert opened(rt, prepared) == plan
    study = load_study(rt, plan.study, SPEC.training)
    waiting = [trial.system_attrs["fixed_params"]["algorithm"] for trial in study.trials]
    assert waiting == list(SPEC.training.estimators)
    assert study.direction.name == "MAXIMIZE"
    assert (plan.trials, plan.workers) == (4, 2)
    parent = registry_client(rt).get_run(plan.parent_run_id)
    assert parent.data.tags["modelops.reason"] == "a test"


def test_overrides_and_direction(rt: Runtime, prepared: PreparedData):
    spec = make_spec(objective={"metric": "brier_score"})
    plan = opened(rt, prepared, spec, trials=1)
    study = load_study(rt, plan.study, SPEC.training)
    assert (plan.trials, plan.workers, study.direction.name, len(study.trials)) == (1, 1, "MINIMIZE", 1)
    tuned = run_trials(spec, rt, run("tune"), plan, prepared, 0)
    assert 0 < (tuned.best_value or 0) < 0.25


def test_one_worker_then_the_fit(rt: Runtime, prepared: PreparedData):
    plan = opened(rt, prepared)
    tuned = run_trials(SPEC, rt, run("tune"), plan, prepared, 0)
    assert tuned.trials == 4
    assert 0.6 < (tuned.best_value or 0) < 0.9
    again = run_trials(SPEC, rt, run("tune"), plan, prepared, 1)
    assert (again.trials, again.best_params) == (0, tuned.best_params)
    runs = trial_runs(rt, plan)
    assert sorted(int(found.data.tags["modelops.trial"]) for found in runs) == [0, 1, 2, 3]
    assert all(found.info.status == "FINISHED" and found.data.params["algorithm"] in SPEC.training.estimators for found in runs)
    assert all("roc_auc" in found.data.metrics for found in runs if found.data.params["state"] == "COMPLETE")

    model = trained(rt, plan, prepared)
    assert model.algorithm == tuned.best_params["algorithm"]
    assert model.digest == sha256_of(model.folder / "model.skops")
    record = json.loads((model.folder / "training.json").read_text())
    assert (record["digest"], record["seed"], record["trials"]) == (model.digest, SPEC.training.seed, 4)
    assert (record["algorithm"], record["params"], record["method"]) == (model.algorithm, model.params, "full")
    assert (record["threads"], record["n_trials"], record["sampler"]["name"]) == (1, 4, "TPESampler")
    assert (record["folding"]["kind"], record["features"], record["spec_hash"]) == ("forward", SPEC.features.all, SPEC.digest)
    assert {"scikit-learn", "numpy", "optuna"} <= set(record["libraries"])
    parent = registry_client(rt).get_run(plan.parent_run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.params["algorithm"] == model.algorithm
    assert parent.data.metrics["tuning_roc_auc"] == pytest.approx(tuned.best_value)

    from include.serving.trusted_types import load_trusted

    rows = pd.read_parquet(prepared.holdout)
    pipelines = [load_trusted(found.folder / "model.skops") for found in (model, trained(rt, plan, prepared))]
    first, second = (pipeline.predict_proba(feature_table(SPEC.features, rows)) for pipeline in pipelines)
    assert np.array_equal(first, second)


def test_two_workers_at_once_and_a_killed_one_make_exactly_the_planned_total(rt: Runtime, prepared: PreparedData):
    plan = opened(rt, prepared, trials=9)
    workers = [start_worker(rt, plan, prepared, number) for number in (0, 1)]
    study = load_study(rt, plan.study, SPEC.training)
    wait_for(lambda: any(trial.user_attrs.get("worker") == 0 for trial in study.get_trials(deepcopy=False)))
    workers[0].kill()
    workers[0].wait()
    assert workers[1].wait(timeout=240) == 0
    tuned = run_trials(SPEC, rt, run("tune"), plan, prepared, 0)  # Airflow's retry of the killed task
    states = [trial.state.name for trial in study.get_trials(deepcopy=False)]
    assert states.count("COMPLETE") + states.count("PRUNED") == 9
    assert "RUNNING" not in states
    other = json.loads((workers[1].stdout or sys.stdin).read().splitlines()[-1])
    assert tuned.trials + other["trials"] == 9
    logged = [int(found.data.tags["modelops.trial"]) for found in trial_runs(rt, plan)]
    counted = [trial.number for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]
    assert sorted(logged) == counted


def test_a_half_written_trial_is_completed_not_doubled(rt: Runtime, prepared: PreparedData):
    plan = opened(rt, prepared, trials=1)
    run_trials(SPEC, rt, run("tune"), plan, prepared, 0)
    client = registry_client(rt)
    client.update_run(trial_runs(rt, plan)[0].info.run_id, status="RUNNING")
    run_trials(SPEC, rt, run("tune"), plan, prepared, 0)
    assert [found.info.status for found in trial_runs(rt, plan)] == ["FINISHED"]


def test_out_of_time_without_a_trial(rt: Runtime, prepared: PreparedData):
    spec = make_spec(training={"timeout": "1ms"})
    plan = opened(rt, prepared)
    tuned = run_trials(spec, rt, run("tune"), plan, prepared, 0)
    assert (tuned.trials, tuned.best_value, tuned.best_params) == (0, None, {})
    with pytest.raises(GateFailedError, match=r"holds no completed trial; training\.timeout may be too short"):
        trained(rt, plan, prepared)
    assert not (rt.storage.stage("trips", "r1", "train_model")).exists()


def test_dead_servers_are_named_within_seconds_and_a_rerun_goes_on(
    rt: Runtime, prepared: PreparedData, make_runtime: Callable[..., Runtime]
):
    plan = opened(rt, prepared, trials=2)
    dead_port = free_port()
    without_mlflow = make_runtime(MODELOPS_MLFLOW_URL=f"http://127.0.0.1:{dead_port}", MODELOPS_OPTUNA_URL=rt.settings.optuna_url)
    dead_study = make_url(rt.settings.optuna_url).set(port=dead_port).render_as_string()
    without_study = make_runtime(MODELOPS_MLFLOW_URL=rt.settings.mlflow_url, MODELOPS_OPTUNA_URL=dead_study)
    started = time.monotonic()
    with pytest.raises(SourceUnavailableError, match=r"MLflow at .* did not answer"):
        run_trials(SPEC, without_mlflow, run("tune"), plan, prepared, 0)
    with pytest.raises(SourceUnavailableError, match=r"study database .* did not answer"):
        run_trials(SPEC, without_study, run("tune"), plan, prepared, 0)
    assert time.monotonic() - started < 30
    assert run_trials(SPEC, rt, run("tune"), plan, prepared, 0).trials == 2


def test_the_study_database_ending_a_session_is_no_lost_trial(rt: Runtime, prepared: PreparedData, postgres: PostgresServer):
    plan = opened(rt, prepared, trials=2)
    name = make_url(rt.settings.optuna_url).database
    run_sql(postgres, "postgres", f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    assert run_trials(SPEC, rt, run("tune"), plan, prepared, 0).trials == 2


def test_rows_that_leave_no_fold_are_refused_before_the_study(rt: Runtime, prepared: PreparedData, tmp_path: Path):
    rows = pd.read_parquet(prepared.train)
    for name, few, message in (
        ("short", rows.head(20), "leave no forward-chaining fold"),
        ("late", rows.assign(late=(rows.index >= len(rows) - 10).astype("int8")), "none of 3 folds holds both classes"),
    ):
        few.to_parquet(tmp_path / f"{name}.parquet")
        with pytest.raises(DataInvalidError, match=message):
            opened(rt, prepared.model_copy(update={"train": tmp_path / f"{name}.parquet"}))


def test_tuning_sees_at_most_tuning_rows(prepared: PreparedData):
    data = tuning_data(make_spec(training={"tuning_rows": 1000}), prepared)
    assert 900 < len(data.table) == len(data.labels) <= 1000
    assert len(data.folds) == 3


def test_the_study_is_kept_as_pictures_and_a_table(rt: Runtime, prepared: PreparedData, tmp_path: Path):
    spec = make_spec(training={"estimators": ["logistic_regression", "random_forest"], "tuning_rows": 600, "folds": 2})
    plan = opened(rt, prepared, spec, trials=8)
    run_trials(spec, rt, run("tune"), plan, prepared, 0)
    started = time.monotonic()
    names = log_study(spec, rt, plan)
    assert time.monotonic() - started < 20
    assert names == ["trials.csv", "history.png", "importances.png", "slices.png", "parallel.png"]
    kept = {found.path for found in registry_client(rt).list_artifacts(plan.parent_run_id, "study")}
    assert kept == {f"study/{name}" for name in names}
    folder = Path(registry_client(rt).download_artifacts(plan.parent_run_id, "study", str(tmp_path)))
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in names[1:])
    lines = list(csv.DictReader(io.StringIO((folder / "trials.csv").read_text())))
    assert [int(line["number"]) for line in lines] == list(range(8))
    assert {line["algorithm"] for line in lines} <= set(spec.training.estimators)
    assert all(line["fold_0"] and line["state"] in ("COMPLETE", "PRUNED") for line in lines)
