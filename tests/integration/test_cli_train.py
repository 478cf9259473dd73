"""`cli train --local`, `evaluate`, `check-quality` and `log-model` as a CI job calls them, on real servers."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
import skops.io
from sqlalchemy import URL, create_engine, text

from include.lifecycle.cli import main
from include.lifecycle.clock import ShiftedClock, write_clock
from include.lifecycle.loading import load_model
from include.lifecycle.registry.client import registry_client
from include.lifecycle.runtime import Runtime
from include.lifecycle.training.pipelines import build_pipeline, feature_table
from tests.conftest import NOW
from tests.integration.trips_source import create_trips, write_query

pytestmark = pytest.mark.integration
YAML = """\
name: trips
description: Will this trip end late?
owner: tests
tier: primary
data: {connection: trips_db, query: trips/training.sql, key: trip_id, event_time: starts_at, target: late}
labels: {query: trips/labels.sql}
features: {numeric: [distance, wind, hour], categorical: [carrier]}
objective: {task: binary_classification, metric: roc_auc, floor: 0.55}
training: {estimators: [logistic_regression], trials: 2, workers: 2, folds: 2}
evaluation: {resamples: 100}
monitoring: {minimum_rows: 200, window: 7d}
"""


@pytest.fixture
def source(postgres) -> URL:
    return create_trips(postgres, 4000)


@pytest.fixture
def rt(make_runtime, postgres, mlflow_server, tmp_path: Path) -> Runtime:
    home = tmp_path / "home"
    write_query(home)
    (home / "include/models").mkdir(parents=True)
    (home / "include/models/trips.yaml").write_text(YAML)
    (home / "include/sql/trips/labels.sql").write_text("SELECT 1\n")
    write_clock(tmp_path / "clock.json", ShiftedClock(datetime.now(UTC), NOW, 1.0))
    return make_runtime(
        MODELOPS_HOME=str(home),
        MODELOPS_CLOCK_FILE=str(tmp_path / "clock.json"),
        MODELOPS_MLFLOW_URL=mlflow_server,
        MODELOPS_OPTUNA_URL=postgres.url(postgres.create_database()),
    )


def answer(rt: Runtime, capsys, *arguments: str, code: int) -> dict:
    capsys.readouterr()
    got = main([*arguments, "--json"], settings=rt.settings)
    told = capsys.readouterr()
    assert got == code, told.out + told.err
    return json.loads(told.out)


def test_a_ci_job_from_training_to_quality(rt: Runtime, postgres, source: URL, tmp_path: Path, capsys) -> None:
    url = ["--url", postgres.url(source.database)]
    trained = answer(rt, capsys, "train", "trips", "--local", "--reason", "a new feature", "--run-id", "ci-7", *url, code=0)
    version = trained["version"]
    tags = registry_client(rt).get_model_version("trips", str(version)).tags
    assert (tags["run_id"], tags["reason"], tags["manifest_digest"]) == ("ci-7", "a new feature", trained["manifest_digest"])
    assert [entry["act"] for entry in rt.ledger.read("trips", kind="training")][-1] == "confirm training"

    recorded = answer(rt, capsys, "evaluate", "trips", "--run", "ci-7", code=0)
    assert recorded["metrics"]["roc_auc"] == pytest.approx(float(tags["metric_value"]), abs=1e-6)
    fresh_file = tmp_path / "metrics.json"
    fresh = answer(rt, capsys, "evaluate", "trips", str(version), *url, "--metrics-file", str(fresh_file), code=0)
    # the hold-out, and the day before it that training left out
    assert fresh["rows"] > recorded["rows"]
    assert fresh["from"] == tags["fit_until"]

    (tmp_path / "thresholds.yaml").write_text("roc_auc: 0.55\nminimum_rows: 300\n")
    quality = ["check-quality", "--metrics", str(fresh_file), "--thresholds", str(tmp_path / "thresholds.yaml")]
    assert answer(rt, capsys, *quality, code=0)["outcome"] == "pass"
    (tmp_path / "thresholds.yaml").write_text("roc_auc: 0.99\n")
    assert answer(rt, capsys, *quality, code=1)["outcome"] == "fail"

    (rt.settings.models_dir / "trips.yaml").write_text(YAML + "retraining: {budget_per_month: 1}\n")
    refused = answer(rt, capsys, "train", "trips", "--local", *url, code=1)
    assert "budget" in refused["refused"]
    assert main(["evaluate", "trips", str(version), *url, "--from", "2013-07-31T12:00"], settings=rt.settings) == 2
    assert "no mature rows" in capsys.readouterr().err


def foreign(rt: Runtime, source: URL, until: str):
    spec = load_model("trips", settings=rt.settings)
    with create_engine(source).connect() as connection:
        rows = pd.read_sql(text("SELECT * FROM trips WHERE starts_at <= :until"), connection, params={"until": until})
    rows["wind"] = rows["wind"].astype(float)
    pipeline = build_pipeline(spec, "logistic_regression", {})
    return pipeline.fit(feature_table(spec.features, rows), rows["late"].to_numpy(dtype=int))


def test_a_foreign_model_goes_through_the_same_gates(rt: Runtime, postgres, source: URL, tmp_path: Path, capsys) -> None:
    until = "2013-07-01T00:00:00+00:00"
    pipeline = foreign(rt, source, until)
    skops.io.dump(pipeline, tmp_path / "model.skops")
    (tmp_path / "metrics.json").write_text('{"accuracy": 0.71}')
    url = ["--url", postgres.url(source.database)]
    options = ["--fit-until", until, "--algorithm", "logistic_regression", *url]
    told = answer(
        rt,
        capsys,
        "log-model",
        "trips",
        str(tmp_path / "model.skops"),
        *options,
        "--metrics",
        str(tmp_path / "metrics.json"),
        code=0,
    )
    client = registry_client(rt)
    tags = client.get_model_version("trips", str(told["version"])).tags
    assert tags["fit_until"] == until
    assert {verdict["check"] for verdict in told["verdicts"]} >= {"floor", "baseline"}
    run = client.get_run(told["run_id"])
    assert run.data.metrics["external_accuracy"] == 0.71
    assert run.data.params["method"] == "external"

    (tmp_path / "model.pkl").write_bytes(pickle.dumps(pipeline))
    assert main(["log-model", "trips", str(tmp_path / "model.pkl"), *options], settings=rt.settings) == 2
    assert "pickles and joblib files are refused" in capsys.readouterr().err
    late = ["--fit-until", "2013-08-01", "--algorithm", "logistic_regression", *url]
    assert main(["log-model", "trips", str(tmp_path / "model.skops"), *late], settings=rt.settings) == 2
    assert "0 after it" in capsys.readouterr().err
