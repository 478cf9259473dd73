"""Every Dag file loads without network or database, and every Dag keeps the house's rules."""

from __future__ import annotations

import itertools
import shutil
import socket
import time

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.definitions.asset import Asset, AssetAlias

from include.lifecycle.loading import model_names
from tests.dags.conftest import ROOT

PLATFORM = {
    "acknowledge",
    "alerts",
    "aa_test",
    "measure_experiments",
    "monitor_daily",
    "monitor_hourly",
    "monitor_weekly",
    "report_daily",
    "report_weekly",
    "report_monthly",
    "report_quarterly",
    "decide",
    "ask",
    "backup",
    "drill",
    "freeze",
    "rollback",
    "replay",
    "retire",
    "steer",
    "upkeep",
}


@pytest.fixture(scope="module")
def bag():
    connect = socket.socket.connect

    def refuse(self, address):
        if self.family == socket.AF_UNIX:
            return connect(self, address)
        raise AssertionError(f"a Dag file opened a connection to {address}")

    socket.socket.connect = refuse
    try:
        started = time.monotonic()
        bag = DagBag(str(ROOT / "dags"))
        bag.seconds = time.monotonic() - started
        yield bag
    finally:
        socket.socket.connect = connect


def test_no_import_errors(bag):
    assert bag.import_errors == {}


def test_the_dags_are_all_there(bag):
    per_model = {f"{kind}__{name}" for name in model_names() for kind in ("train", "deploy")}
    assert set(bag.dags) == PLATFORM | per_model


def test_rules_of_the_house(bag):
    for dag_id, dag in bag.dags.items():
        assert dag.tags, dag_id
        assert dag.doc_md, dag_id
        assert dag.max_active_runs >= 1
        assert not dag.catchup, dag_id
        for task in dag.tasks:
            assert task.owner not in ("airflow", ""), task
            assert task.task_id == "select_models" or task.retries >= 1 or task.task_id == "approve", (dag_id, task.task_id)
            for field in task.template_fields:
                assert hasattr(task, field) or task.is_mapped, (dag_id, task.task_id, field)


def test_order_of_the_train_dag(bag):
    dag = bag.dags["train__flight_delay"]
    line = ["confirm_training", "fetch_data", "validate_data", "snapshot_data", "prepare_data", "tune"]
    line += ["train_model", "evaluate_model", "register_model"]
    ends = {"training_ended", "report_failure"}
    assert [task.task_id for task in dag.topological_sort() if task.task_id not in ends] == line
    assert dag.get_task("register_model").downstream_task_ids == ends
    assert dag.get_task("report_failure").trigger_rule == "one_failed"
    for before, after in itertools.pairwise(line):
        assert after in dag.get_task(before).get_flat_relative_ids(upstream=False), (before, after)


def test_order_of_the_deploy_dag(bag):
    line = ["plan_rollout", "check_serving", "ask_approval", "approve", "confirm_approval", "roll_out", "conclude_rollout"]
    assert [task.task_id for task in bag.dags["deploy__flight_delay"].topological_sort()] == line


def test_one_answer_is_asked_for_per_seat(bag):
    for name in model_names():
        dag = bag.dags[f"deploy__{name}"]
        approve, confirm = dag.get_task("approve"), dag.get_task("confirm_approval")
        assert (approve.task_type, approve.is_mapped) == ("ApproveRolloutOperator", True), name
        assert confirm.trigger_rule == "none_failed_min_one_success"  # nobody asked is no reason to skip the rollout
        assert confirm.upstream_task_ids == {"ask_approval", "approve", "plan_rollout"}


def test_every_scheduling_asset_has_somebody_who_wakes_it(bag):
    """Wake-ups go through one alias, so a consumer's asset must be one of those that assets.py makes."""
    from modelops import assets

    known = {
        assets.alerts().uri,
        assets.signals().uri,
        assets.promotions().uri,
        assets.external_requests().uri,
        assets.new_rows().uri,
    }
    known |= {make(name).uri for name in model_names() for make in (assets.candidate, assets.training_requested)}
    tasks = [task for dag in bag.dags.values() for task in dag.tasks]
    waking = {task.task_id for task in tasks if any(isinstance(outlet, AssetAlias) for outlet in task.outlets)}
    assert waking == {"monitor_model", "decide", "ask", "sweep", "register_model", "conclude_rollout"}
    watched = set()
    for dag in bag.dags.values():
        condition = getattr(dag.timetable, "asset_condition", None)
        watched |= uris_of(condition)
    assert watched == known


def uris_of(condition) -> set[str]:
    if isinstance(condition, Asset):
        return {condition.uri}
    return set().union(*(uris_of(part) for part in getattr(condition, "objects", ())))


def test_switching_a_dag_on_runs_no_past_slot(bag):
    """Airflow runs the latest past slot when less than a tenth of the interval has passed, unless told otherwise."""
    from datetime import timedelta

    for dag_id in ("train__flight_delay", "monitor_hourly", "decide", "retire", "upkeep"):
        timetable = bag.dags[dag_id].timetable
        assert getattr(timetable, "timetable", timetable).run_immediately == timedelta(0), dag_id


def test_a_failed_decision_shows_in_its_run(bag):
    """Airflow takes a run's state from its last tasks only; `ask` alone would be skipped, and the run green."""
    dag = bag.dags["decide"]
    last = {task.task_id for task in dag.tasks if not task.downstream_task_ids}
    assert last == {"ask", "decided"}
    assert dag.get_task("decided").upstream_task_ids == {"decide"}
    assert dag.get_task("decided").trigger_rule == "all_success"


def test_a_broken_yaml_breaks_its_own_file_only(tmp_path, monkeypatch):
    home = tmp_path / "home"
    for part in ("dags", "include/models", "include/sql"):
        shutil.copytree(ROOT / part, home / part, ignore=shutil.ignore_patterns("__pycache__"))
    text = (home / "include/models/health_visits.yaml").read_text()
    (home / "include/models/health_visits.yaml").write_text(text.replace("tier: secondary", "teir: secondary"))
    monkeypatch.setenv("MODELOPS_HOME", str(home))
    from include.settings import settings

    settings.cache_clear()
    try:
        broken = DagBag(str(home / "dags"))
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert [path.rpartition("/")[2] for path in broken.import_errors] == ["health_visits.py"]
    message = next(iter(broken.import_errors.values()))
    assert "health_visits.yaml:" in message
    assert "teir" in message
    assert "did you mean" in message.lower()
    assert "train__flight_delay" in broken.dags
    assert set(broken.dags) >= PLATFORM
