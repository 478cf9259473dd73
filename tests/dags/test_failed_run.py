"""A run of a train Dag's tail in a real Airflow: a task fails, the reporter says so, and the run stays failed."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from include.lifecycle.errors import DataInvalidError
from include.lifecycle.results import StageResult
from modelops.operators.base import LifecycleOperator
from modelops.operators.training import ReportFailureOperator
from tests.dags.own_process import own_process

MODEL = "flight_delay"


class _TrainOperator(LifecycleOperator):
    """A stage that works, or that finds its rows wanting."""

    def __init__(self, *, fails: bool, **kwargs) -> None:
        super().__init__(**kwargs)
        self.fails = fails

    def stage(self, spec, rt, run, context) -> StageResult:
        if self.fails:
            raise DataInvalidError("one class only")
        return StageResult()


@pytest.fixture(autouse=True)
def installation(rt, monkeypatch):
    with own_process(rt, monkeypatch):
        yield


def tail(*, fails: bool) -> DAG:
    """The last tasks of a train Dag as builders.py wires them, behind two mapped workers."""
    with DAG(f"train__{MODEL}_{'bad' if fails else 'good'}", default_args={"retries": 1, "retry_delay": timedelta(0)}) as dag:
        tune = _TrainOperator.partial(task_id="tune", model=MODEL).expand(fails=[False, fails])
        registered = _TrainOperator(task_id="register_model", model=MODEL, fails=False)
        tune >> registered
        registered >> EmptyOperator(task_id="training_ended")
        registered >> ReportFailureOperator(task_id="report_failure", model=MODEL, trigger_rule="one_failed")
    return dag


def run_of(dag: DAG):
    """One run of a Dag that stands in no file: Airflow runs only what is serialised."""
    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(dag_folder=os.devnull)
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)
    return dag.test()


def states(run) -> dict[tuple[str, int], str]:
    return {(one.task_id, one.map_index): str(one.state) for one in run.get_task_instances()}


def test_a_failed_run_is_reported_and_stays_failed(rt):
    run = run_of(tail(fails=True))
    found = states(run)
    assert found[("tune", 1)] == "failed"
    assert (found[("register_model", -1)], found[("training_ended", -1)]) == ("upstream_failed", "upstream_failed")
    assert found[("report_failure", -1)] == "success"
    assert str(run.state) == "failed"
    entry, alert = rt.ledger.read(MODEL)
    assert alert["act"] == "raise alert"
    assert entry["act"] == "training failed"
    assert entry["reason"].startswith("training failed at tune[1]: DataInvalidError: one class only. The champion keeps serving")
    assert entry["run_id"] == run.run_id


def test_a_good_run_says_nothing(rt):
    run = run_of(tail(fails=False))
    assert states(run)[("report_failure", -1)] == "skipped"
    assert str(run.state) == "success"
    assert rt.ledger.read(MODEL) == []
