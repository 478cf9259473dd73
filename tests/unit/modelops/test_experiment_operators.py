"""Operators of A/B and A/A tests on a real database: what they return, and when their runs are skipped or red."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.lifecycle.ledger import Entry
from include.lifecycle.results import PlannedRollout, RolloutOutcome
from include.lifecycle.rollout.experiments import aa
from include.lifecycle.runtime import RunContext
from include.lifecycle.verdicts import Outcome
from modelops.operators import experiments
from modelops.operators.experiments import ConcludeAaTestOperator, MeasureExperimentOperator, PlanAaTestOperator
from tests.conftest import NOW
from tests.unit.lifecycle.rollout import experiment_lab as lab
from tests.unit.lifecycle.rollout.conftest import spec  # noqa: F401 - a fixture
from tests.unit.lifecycle.rollout.test_experiment import ab_plan

RUN = RunContext("churn", "manual__1", "task")
NOTHING: Any = {}


def test_a_running_test_is_measured_through_the_models_connection(rt, spec, postgres, monkeypatch):  # noqa: F811
    access = lab.database(postgres)
    monkeypatch.setattr(experiments, "data_access", lambda spec: access)
    operator = MeasureExperimentOperator(task_id="measure_experiment", model="churn")
    with pytest.raises(AirflowSkipException, match="its test has ended since it was chosen"):
        operator.stage(spec, rt, RUN, NOTHING)
    lab.start(rt, ab_plan(), began=datetime.now(UTC) - timedelta(days=8))
    rows, known = lab.traffic(NOW, users=400, right=(0.9, 0.8))
    lab.answers(rt.storage.predictions("churn"), rows)
    lab.outcomes(access, known)
    found = operator.stage(spec, rt, RUN, NOTHING)
    assert isinstance(found, dict)
    assert (found["model"], found["metric"], found["rows"], found["crossed"]) == ("churn", "success", len(rows), 0)
    assert found["samples"] + found["champion_samples"] == 400


def test_an_a_a_test_that_cannot_be_opened_skips_its_run(rt, spec, monkeypatch):  # noqa: F811
    told = PlannedRollout(rollout_id=None, model="churn", reason="there is no champion to compare with itself")
    monkeypatch.setattr(aa, "plan_aa_test", lambda *given, **named: told)
    operator = PlanAaTestOperator(task_id="plan_aa_test", model="churn", reason="trust")
    with pytest.raises(AirflowSkipException, match="no champion"):
        operator.stage(spec, rt, RUN, NOTHING)


@pytest.mark.parametrize(
    ("state", "verdict", "red"), [("concluded", "pass", False), ("concluded", "fail", True), ("aborted", "pass", True)]
)
def test_an_a_a_test_is_red_unless_it_showed_no_difference(rt, spec, state, verdict, red):  # noqa: F811
    outcome = RolloutOutcome(rollout_id=3, model="churn", version=7, state=state, reason="it ended")
    entry = Entry(model="churn", kind="rollout", act="conclude", reason="it ended", actor="rollout:3", phase="done")
    verdicts = [{"check": "latency", "outcome": "inconclusive"}, {"check": "experiment", "outcome": verdict}]
    told = {"verdict": Outcome.INCONCLUSIVE, "idempotency_key": "rollout:3:2", "evidence": {"verdicts": verdicts}}
    rt.ledger.write(entry.model_copy(update=told))
    operator = ConcludeAaTestOperator(task_id="conclude_aa_test", model="churn", outcome=outcome.model_dump(mode="json"))
    if red:
        with pytest.raises(AirflowFailException, match=f"ended {state}"):
            operator.stage(spec, rt, RUN, NOTHING)
    else:
        assert operator.stage(spec, rt, RUN, NOTHING) == outcome
