"""A run of a report Dag in a real Airflow: one page per model that wants it, and one of all."""

from __future__ import annotations

import pytest
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.utils.db import initdb

from include.lifecycle.loading import load_model
from tests.dags.conftest import ROOT
from tests.dags.own_process import own_process


@pytest.fixture(autouse=True)
def installation(rt, monkeypatch):
    with own_process(rt, monkeypatch):
        yield


@pytest.fixture(scope="module")
def dag():
    initdb()
    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(str(ROOT / "dags" / "reports.py"))
    sync_bag_to_db(bag, "dags-folder", None)
    return bag.dags["report_quarterly"]


def pages(rt):
    return sorted(str(path.relative_to(rt.storage.root / "reports")) for path in (rt.storage.root / "reports").rglob("*.html"))


def test_a_run_writes_a_page_per_model_and_one_of_all(dag, rt, monkeypatch):
    quiet = load_model("health_visits")
    quiet = quiet.model_copy(update={"reports": quiet.reports.model_copy(update={"kinds": ["daily"]})})
    monkeypatch.setattr("modelops.models.load_model", lambda name: quiet if name == quiet.name else load_model(name))
    done = dag.test(run_conf={"at": "2013-08-01"})
    assert str(done.state) == "success"
    page = "report-quarterly-2013-Q3.html"
    assert pages(rt) == [f"_fleet/{page}", f"flight_delay/{page}"]
    assert "health_visits" in (rt.storage.reports("_fleet") / page).read_text()
