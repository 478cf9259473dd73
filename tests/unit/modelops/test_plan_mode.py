"""Plan mode of the Dags: the plan goes to the log and to XCom, and nothing is claimed or retired."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from sqlalchemy import func, select

from include.lifecycle.database import transaction
from include.lifecycle.registry.retention import VersionPlan
from include.lifecycle.runtime import runtime
from include.lifecycle.tables import candidates, ledger, rollouts
from include.settings import settings
from modelops.operators.registry import RetireVersionsOperator
from modelops.operators.rollout import PlanRolloutOperator
from tests.unit.lifecycle.rollout.conftest import World

MODEL = "flight_delay"


@pytest.fixture
def rt(rt, monkeypatch):
    monkeypatch.setenv("MODELOPS_DATABASE_URL", rt.settings.database_url)
    monkeypatch.setenv("MODELOPS_PASSFILE", str(rt.settings.passfile))
    settings.cache_clear()
    runtime.cache_clear()
    yield rt
    settings.cache_clear()
    runtime.cache_clear()


def context_of(**params):
    pushed = {}
    instance = SimpleNamespace(run_id="r1", task_id="t", try_number=1, xcom_push=lambda key, value: pushed.update({key: value}))
    return {"ti": instance, "params": params, "dag_run": SimpleNamespace(triggering_user_name="ann")}, pushed


def test_a_deploy_run_that_only_plans_is_skipped_and_claims_nothing(rt, monkeypatch, caplog):
    world = World(rt, aliases={})
    monkeypatch.setattr("include.lifecycle.rollout.planning.preview.usual_hands", lambda rt: world.hands())
    row = {"model": MODEL, "version": 3, "verdict": "pass", "created_at": rt.clock.now(), "run_id": "train-1"}
    with transaction(rt.engine) as connection:
        connection.execute(candidates.insert().values(row))
    context, pushed = context_of(plan_only=True)
    with (
        caplog.at_level("INFO"),
        pytest.raises(AirflowSkipException, match="plan only: Would start for version 3 of flight_delay"),
    ):
        PlanRolloutOperator(task_id="plan_rollout", model=MODEL).execute(context)
    assert (pushed["plan"]["version"], pushed["plan"]["strategy"], pushed["plan"]["stops"]) == (3, "direct", [])
    with transaction(rt.engine) as connection:
        assert connection.execute(select(candidates.c.state)).scalar_one() == "open"
        for table in (rollouts, ledger):
            assert connection.execute(select(func.count()).select_from(table)).scalar_one() == 0


@pytest.mark.parametrize("plan_only", [True, "True"])
def test_retire_that_only_plans_says_what_would_go(rt, monkeypatch, plan_only):
    facts = {"semver": None, "stage": "None", "archived": False, "in_use": None, "protected": [], "archive": True, "remove": []}
    plans = [VersionPlan(version=1, **facts)]
    monkeypatch.setattr("include.lifecycle.registry.retention.plan_retention", lambda spec, rt, connection: plans)
    monkeypatch.setattr("include.lifecycle.registry.retirement.retire_versions", lambda *given: pytest.fail("retired"))
    context, _ = context_of()
    found = RetireVersionsOperator(task_id="retire_versions", model=MODEL, plan_only=plan_only).execute(context)
    assert [one["decision"] for one in found["plan"]] == ["archive"]
