"""What the tests of tuning and fitting share: prepared rows of 3,000 trips, a Runtime with study and MLflow, worker processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from include.lifecycle.clock import FixedClock
from include.lifecycle.data.fetch import fetch_data
from include.lifecycle.data.preparation import prepare_data
from include.lifecycle.migrations import upgrade
from include.lifecycle.registry.client import registry_client
from include.lifecycle.results import PreparedData, StudyPlan, TrainedModel
from include.lifecycle.runtime import RunContext, Runtime, build_runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.fitting import train_model
from include.lifecycle.training.tuning import open_study
from include.settings import PROJECT_ROOT, load_settings
from tests.conftest import NOW, PostgresServer
from tests.integration.trips_source import create_trips, trips_order, write_query
from tests.unit.lifecycle.training.spec_for_tests import make_spec

SPEC = make_spec()


def run(task: str) -> RunContext:
    return RunContext("trips", "r1", task)


@pytest.fixture(scope="module")
def prepared(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """Train and hold-out rows of 3,000 trips, made by the real stages."""
    home = tmp_path_factory.mktemp("prepared")
    write_query(home)
    url = postgres.url(postgres.create_database())
    upgrade(url, postgres.passfile)
    where = {"MODELOPS_HOME": str(home), "MODELOPS_DATABASE_URL": url, "MODELOPS_PASSFILE": str(postgres.passfile)}
    rt = build_runtime(load_settings(where), FixedClock(NOW))
    fetched = fetch_data(SPEC, rt, run("fetch_data"), trips_order(), create_trips(postgres, 3000))
    return prepare_data(SPEC, rt, run("prepare_data"), trips_order(), fetched)


@pytest.fixture
def rt(make_runtime: Callable[..., Runtime], mlflow_server: str, postgres: PostgresServer) -> Runtime:
    study_url = postgres.url(postgres.create_database())
    return make_runtime(MODELOPS_MLFLOW_URL=mlflow_server, MODELOPS_OPTUNA_URL=study_url)


def opened(rt: Runtime, prepared: PreparedData, spec: ModelSpec = SPEC, **overrides: Any) -> StudyPlan:
    order = trips_order().model_copy(update={"overrides": overrides})
    return open_study(spec, rt, RunContext("trips", f"r-{rt.settings.optuna_url[-12:]}", "prepare_data"), order, prepared)


def trained(rt: Runtime, plan: StudyPlan, prepared: PreparedData) -> TrainedModel:
    return train_model(SPEC, rt, run("train_model"), trips_order(), plan, prepared)


def trial_runs(rt: Runtime, plan: StudyPlan) -> list[Any]:
    query = f"tags.`mlflow.parentRunId` = '{plan.parent_run_id}'"
    return list(registry_client(rt).search_runs([plan.experiment_id], query))


def start_worker(
    rt: Runtime, plan: StudyPlan, prepared: PreparedData, worker: int, spec: ModelSpec = SPEC
) -> subprocess.Popen[str]:
    settings = rt.settings
    environment = {
        "MODELOPS_LOCAL": str(settings.storage.parent),
        "MODELOPS_DATABASE_URL": settings.database_url,
        "MODELOPS_OPTUNA_URL": settings.optuna_url,
        "MODELOPS_MLFLOW_URL": settings.mlflow_url,
        "MODELOPS_PASSFILE": str(settings.passfile),
    }
    job = {"environment": environment, "now": NOW.isoformat(), "spec": spec.model_dump(mode="json"), "worker": worker}
    job |= {"plan": plan.model_dump(mode="json"), "prepared": prepared.model_dump(mode="json")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.tuning_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT_ROOT,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(job))
    process.stdin.close()
    return process


def wait_for(condition: Callable[[], Any], seconds: float = 120) -> None:
    """Wait until something is true; a test that waits longer has failed."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
