"""Regression and multiclass models through the whole lifecycle: trained, judged, registered, served over HTTP, watched."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import select

from include.lifecycle.database import transaction
from include.lifecycle.monitoring.compaction import compact_predictions
from include.lifecycle.monitoring.monitor import monitor_model
from include.lifecycle.monitoring.profile import CategoricalProfile, read_profile
from include.lifecycle.monitoring.window_reports import report_windows
from include.lifecycle.registry.artefacts import materialise_profile, materialise_version
from include.lifecycle.registry.client import registry_client
from include.lifecycle.registry.promotion import promote
from include.lifecycle.registry.scoring import fitted_scores, load_fitted
from include.lifecycle.rollout.before_traffic.probes import compare_golden
from include.lifecycle.tables import windows
from tests.conftest import PostgresServer
from tests.integration.task_life import LIVE, Life, life_spec, live_trips, past_trips, request_of, shuffled
from tests.unit.lifecycle.registry.family_cases import CLASSES
from tests.unit.serving.running import eventually, running_server

pytestmark = pytest.mark.integration
TASKS = ["regression", "multiclass_classification"]
OBJECTIVES: dict[str, dict[str, Any]] = {
    "regression": {"task": "regression", "metric": "rmse", "floor": 9.0},
    "multiclass_classification": {
        "task": "multiclass_classification",
        "metric": "log_loss",
        "floor": 0.9,
        "classes": CLASSES,
    },
}


@pytest.fixture
def begin(make_runtime: Callable[..., Any], mlflow_server: str, postgres: PostgresServer, tmp_path: Any) -> Callable[[str], Life]:
    def _begin(task: str) -> Life:
        studies = postgres.url(postgres.create_database())
        rt = make_runtime(MODELOPS_MLFLOW_URL=mlflow_server, MODELOPS_OPTUNA_URL=studies, MODELOPS_HOME=str(tmp_path))
        spec = life_spec(task, f"trips_{uuid4().hex[:8]}", objective=OBJECTIVES[task])
        life = Life.begin(rt, spec, postgres)
        life.insert(past_trips(task))
        return life

    return _begin


@pytest.mark.parametrize("task", TASKS)
def test_a_model_of_this_task_lives_from_its_source_to_its_monitoring(task: str, begin: Callable[[str], Life]) -> None:
    life = begin(task)
    metric = life.spec.objective.metric
    evaluation, registered, trained, _ = life.whole()
    failed = [verdict for verdict in evaluation.verdicts if verdict.failed]
    assert not failed
    assert evaluation.metrics[metric] < evaluation.baseline_metrics[metric]
    assert (registered.engine, registered.candidate_id is not None) == ("onnx", True), registered.reason
    tags = registry_client(life.rt).get_model_version(life.spec.name, "1").tags
    assert (tags["metric"], float(tags["metric_value"])) == (metric, pytest.approx(evaluation.metrics[metric], abs=1e-6))

    folder, digest = materialise_version(life.rt, life.spec.name, 1)
    log = life.rt.storage.predictions(life.spec.name)
    days = [live_trips(task, day) for day in range(4)]
    with running_server(folder, digest, log) as server:
        url = f"{server.client.base_url}/v2/models/{life.spec.name}/versions/1/infer"
        golden = json.loads((folder / "golden.json").read_text())
        assert compare_golden(url, golden).passed
        for frame in days:
            answer = server.client.post(url, json=request_of(frame)).json()
            expected = fitted_scores(load_fitted(trained), life.spec.features, frame)
            _check_answer(task, answer, expected)
        assert eventually(lambda: sum(path.read_text().count("\n") for path in (log / "segments").glob("*")) >= 1650)
        server.process.terminate()
        server.process.wait(timeout=20)

    life.insert(days[0])
    life.insert(days[1])
    for frame in days[2:]:
        life.insert(shuffled(frame))
    compact_predictions(life.rt, life.spec, now=LIVE + timedelta(days=4))
    _check_monitoring(life, task, metric)


def _check_answer(task: str, answer: dict[str, Any], expected: np.ndarray) -> None:
    outputs = {tensor["name"]: tensor for tensor in answer["outputs"]}
    if task == "regression":
        assert outputs["prediction"]["datatype"] == "FP64"
        assert np.allclose(outputs["prediction"]["data"], expected, atol=1e-3)
        return
    shares = np.array(outputs["probabilities"]["data"]).reshape(outputs["probabilities"]["shape"])
    assert np.allclose(shares, expected, atol=1e-4)
    assert outputs["prediction"]["data"] == [CLASSES[place] for place in shares.argmax(axis=1)]


def _check_monitoring(life: Life, task: str, metric: str) -> None:
    later = life.at(LIVE + timedelta(days=4, hours=4))
    found = monitor_model(later.spec, later.rt, later.run("monitor_model"), later.url)
    assert len(found.windows) == 4
    reports = report_windows(later.spec, later.rt)
    assert len(reports.reports) == 3  # the newest three
    with transaction(life.rt.engine) as connection:
        query = select(windows).where(windows.c.model == life.spec.name).order_by(windows.c.window_start)
        stored = list(connection.execute(query).mappings())
    assert [(row["rows"], row["mature_rows"]) for row in stored] == [(400, 400)] * 4
    verdicts = [{verdict["check"]: verdict for verdict in row["verdicts"]} for row in stored]
    outcomes = [(each[f"decay:{metric}"]["outcome"], each["prediction_drift"]["outcome"]) for each in verdicts]
    assert outcomes == [("pass", "pass"), ("pass", "pass"), ("fail", "pass"), ("fail", "pass")], verdicts[0]
    assert verdicts[3][f"decay:{metric}"]["evidence"]["severity"] == "concept"
    assert all(each["decay:calibration_gap"]["outcome"] == "pass" for each in verdicts)
    assert stored[0]["health"] > 0.9 > stored[3]["health"]
    profile = read_profile(materialise_profile(life.rt, life.spec.name, 1))
    assert isinstance(profile.prediction, CategoricalProfile) == (task == "multiclass_classification")


@pytest.mark.parametrize("task", TASKS)
def test_a_challenger_faces_a_champion_of_its_own_task_only(task: str, begin: Callable[[str], Life]) -> None:
    life = begin(task)
    _, first, trained, prepared = life.whole()
    promote(life.rt, life.spec.name, first.version, reason="a test", key=f"{life.spec.name}:1", actor="test")
    again = replace(life, run_id="manual__2").judged(prepared, trained)
    same = next(verdict for verdict in again.verdicts if verdict.check.startswith("champion:"))
    assert same.evidence["metric"] == life.spec.objective.metric
    assert same.evidence["gain"]["estimate"] == pytest.approx(0, abs=1e-4)
    if task == "regression":
        return
    order = {"objective": life.spec.objective.model_copy(update={"classes": CLASSES[::-1]})}
    other = replace(life, run_id="manual__3", spec=life.spec.model_copy(update=order))
    evaluation = other.judged(prepared, other.trained(prepared))
    verdict = next(verdict for verdict in evaluation.verdicts if verdict.check.startswith("champion"))
    assert verdict.outcome == "inconclusive"
    assert "its classes are early, late, on time, objective.classes are now on time, late, early" in verdict.reason
