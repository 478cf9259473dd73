"""`cli evaluate`: a registered version of another task than binary classification, on rows that it has not learnt from."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from include.lifecycle.data.targets import label_prior
from include.lifecycle.evaluation.afresh import evaluate_version
from tests.conftest import PostgresServer
from tests.integration.task_life import LIVE, Life, life_spec, live_trips, past_trips
from tests.unit.lifecycle.registry.family_cases import CLASSES

pytestmark = pytest.mark.integration
TASK = "multiclass_classification"
OBJECTIVE: dict[str, Any] = {"task": TASK, "metric": "log_loss", "floor": 0.9, "classes": CLASSES}


def test_a_multiclass_version_is_judged_against_the_shares_of_its_classes(
    make_runtime: Any, mlflow_server: str, postgres: PostgresServer, tmp_path: Any
) -> None:
    studies = postgres.url(postgres.create_database())
    rt = make_runtime(MODELOPS_MLFLOW_URL=mlflow_server, MODELOPS_OPTUNA_URL=studies, MODELOPS_HOME=str(tmp_path))
    life = Life.begin(rt, life_spec(TASK, f"trips_{uuid4().hex[:8]}", objective=OBJECTIVE), postgres)
    life.insert(past_trips(TASK))
    registered = life.whole()[1]
    for day in range(8):
        life.insert(live_trips(TASK, day))
    later = life.at(LIVE + timedelta(days=30))
    found = evaluate_version(later.spec, later.rt, later.url, registered.version, start=LIVE)
    assert found.rows == 8 * 400
    (baseline,) = [verdict for verdict in found.verdicts if verdict.check == "baseline"]
    rows = [live_trips(TASK, day) for day in range(8)]
    shares = [sum(frame["late"].eq(name).sum() for frame in rows) / found.rows for name in CLASSES]
    assert baseline.evidence["prior"] == pytest.approx(shares, abs=1e-6)
    assert baseline.evidence["prior"] == pytest.approx(label_prior(life.spec, rows[0]), abs=0.2)
    assert baseline.passed, baseline.reason
    assert found.metrics["log_loss"] < 0.9
