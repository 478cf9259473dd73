"""A run of the monitoring Dag in a real Airflow: without and with a window that is counted in shards."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas
import pytest
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from sqlalchemy import select, text

from include.lifecycle.loading import load_model
from include.lifecycle.monitoring.profile import build_profile
from include.lifecycle.tables import windows
from tests.dags.conftest import ROOT
from tests.dags.own_process import own_process

MODEL = "flight_delay"
DAY = timedelta(days=1)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
ROWS = 3000
OVERLAY = "monitoring: {window: 1d, exact_rows: 1000, sample_rows: 1000, slice_rows: 1000, minimum_rows: 500, report: 'off'}\n"


@pytest.fixture(autouse=True)
def installation(rt, postgres, monkeypatch, tmp_path):
    """flight_delay with an overlay of small slices; its labels' table is empty, its profile made of random rows."""
    (tmp_path / "overlay").mkdir()
    (tmp_path / "overlay" / f"{MODEL}.yaml").write_text(OVERLAY)
    url = rt.engine.url.render_as_string(hide_password=False).replace("postgresql+psycopg2://", "postgres://")
    monkeypatch.setenv("AIRFLOW_CONN_PRODUCTION_DB", url.replace("@", f":{postgres.password}@"))
    with rt.engine.begin() as connection:
        connection.execute(text("CREATE TABLE flights (flight_id text)"))
    with own_process(rt, monkeypatch, MODELOPS_OVERLAY=str(tmp_path / "overlay")):
        profile = _profile()
        monkeypatch.setattr("include.lifecycle.monitoring.monitor._registered_profile", lambda *_: profile)
        yield


def _rows(rows: int) -> pandas.DataFrame:
    spec, random = load_model(MODEL), np.random.default_rng(1)
    plain = {name: random.normal(size=rows) for name in spec.features.numeric}
    plain |= {name: random.choice(["a", "b", "c"], rows) for name in spec.features.categorical}
    times = [TODAY - DAY + number * DAY / rows for number in range(rows)]
    return pandas.DataFrame(plain | {spec.data.event_time: times, spec.data.target: random.integers(0, 2, rows)})


def _profile():
    table = _rows(2000)
    return build_profile(load_model(MODEL), table, table, np.linspace(0, 1, 2000), seed=1)


def _serve(rt) -> None:
    spec, table = load_model(MODEL), _rows(ROWS)
    lines = []
    for number, row in enumerate(table.to_dict("records")):
        at = row[spec.data.event_time].isoformat()
        told = {
            "request_id": f"r{number}",
            "row": 0,
            "model_version": 1,
            "assigned_version": 1,
            "logged_at": at,
            "key": f"{number}",
        }
        told |= {"logged_at": at, "event_time": at, "prediction": 0.3, "latency_ms": 1.0}
        lines.append(json.dumps(told | {"features": {name: row[name] for name in spec.features.all}}))
    folder = rt.storage.predictions(MODEL) / "segments"
    folder.mkdir(parents=True)
    (folder / "1-1-1.jsonl").write_text("\n".join(lines) + "\n")


def run_of(dag_id: str):
    """One run of a Dag file's Dag."""
    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(str(ROOT / "dags" / "monitor.py"))
    sync_bag_to_db(bag, "dags-folder", None)
    return bag.dags[dag_id].test(run_conf={"model": MODEL})


def states(run) -> dict[tuple[str, int], str]:
    return {(one.task_id, one.map_index): str(one.state) for one in run.get_task_instances()}


def test_without_a_large_window_nothing_is_sharded():
    run = run_of("monitor_hourly")
    found = states(run)
    assert found[("count_shard", -1)] == "skipped"
    assert found[("monitor_model", 0)] == "skipped"  # no window
    assert str(run.state) == "success"


def test_a_large_window_is_counted_by_mapped_tasks_and_merged(rt):
    _serve(rt)
    run = run_of("monitor_hourly")
    found = states(run)
    shards = [state for (task, _), state in found.items() if task == "count_shard"]
    assert shards == ["success"] * len(shards)
    assert len(shards) >= 3
    assert found[("monitor_model", 0)] == "success"
    with rt.engine.begin() as connection:
        stored = list(connection.execute(select(windows)).mappings())
    assert [(row["window_start"], row["rows"]) for row in stored] == [(TODAY - DAY, ROWS)]
    checks = {verdict["check"]: verdict for verdict in stored[0]["verdicts"]}
    assert checks["covariate:temp"]["evidence"]["counted"] is True
    assert checks["covariate:temp"]["evidence"]["rows"] == ROWS
    assert str(run.state) == "success"
