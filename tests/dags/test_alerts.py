"""Alertmanager's webhook: who shows the token starts one run of Dag rollback a firing, and never a second."""

from __future__ import annotations

import json

import pytest
from airflow.models.dagrun import DagRun
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from fastapi.testclient import TestClient
from sqlalchemy import select

from include.lifecycle.ledger import Entry
from include.settings import settings
from tests.dags.conftest import ROOT

SECRET = "a-secret-of-some-length"
TOKEN = {"Authorization": f"Bearer {SECRET}"}
LABELS = {"alertname": "CanaryErrorRate", "action": "rollback", "model": "flight_delay", "version": "8"}


@pytest.fixture(scope="module", autouse=True)
def airflow_database():
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.dagbundle import DagBundleModel

    initdb()
    bag = DagBag(str(ROOT / "dags" / "rollback.py"))
    with create_session() as session:
        if session.get(DagBundleModel, "dags") is None:
            session.add(DagBundleModel(name="dags"))
            session.commit()
        sync_bag_to_db(bag, "dags", None, session=session)


@pytest.fixture
def client(rt, served_here, tmp_path, monkeypatch):
    monkeypatch.setenv("MODELOPS_ALERT_SECRET_FILE", str(tmp_path / "secret"))
    (tmp_path / "secret").write_text(SECRET + "\n")
    settings.cache_clear()
    from modelops.api.alerts import app

    before = runs()
    yield TestClient(app)
    with create_session() as session:
        for run in session.scalars(select(DagRun).where(DagRun.dag_id == "rollback", DagRun.run_id.not_in(before))):
            session.delete(run)


def runs():
    with create_session() as session:
        return {run.run_id: dict(run.conf) for run in session.scalars(select(DagRun).where(DagRun.dag_id == "rollback"))}


def firing(started="2026-11-22T12:00:00.5Z", *, status="firing", **labels):
    notes = {"summary": "12 % of the canary's requests fail"}
    alert = {"status": status, "labels": LABELS | labels, "annotations": notes, "startsAt": started, "fingerprint": "f1"}
    return {"version": "4", "status": status, "receiver": "modelops", "alerts": [alert]}


def send(client, payload, headers=TOKEN):
    return client.post("/alertmanager", json=payload, headers=headers)


def test_one_firing_starts_one_run_however_often_it_is_repeated(client):
    answer = send(client, firing())
    assert answer.status_code == 200
    (run_id,) = answer.json()["started"]
    assert runs()[run_id] == {
        "model": "flight_delay",
        "reason": "alert CanaryErrorRate: 12 % of the canary's requests fail",
        "reason_kind": "incident",
        "leaving": "8",
    }
    for _ in range(2):
        again = send(client, firing()).json()
        assert again["started"] == []
        assert "taken before" in again["left"][0]
    assert len(runs()) == 1
    assert len(send(client, firing("2026-11-22T13:00:00Z")).json()["started"]) == 1
    assert len(runs()) == 2


def test_what_alertmanager_0_25_sends_is_read(client):
    payload = json.loads((ROOT / "tests" / "dags" / "alertmanager.json").read_text())
    assert send(client, payload).json() == {"started": ["alert__20261122T203454__363b573dfee0edeb"], "left": []}
    assert send(client, payload).json()["started"] == []
    assert len(runs()) == 1


def test_a_lost_answer_starts_no_second_run(client, monkeypatch):
    from modelops.api import alerts

    def lost(*given):
        raise alerts.SourceUnavailableError("the database went away")

    with monkeypatch.context() as patch:
        patch.setattr(alerts, "note_taken", lost)
        assert send(client, firing()).status_code == 503
    assert len(send(client, firing()).json()["started"]) == 1
    assert len(runs()) == 1


@pytest.mark.parametrize(
    "payload",
    [
        firing(status="resolved"),
        firing(action="page"),
        firing(model="somebody_elses"),
        firing("not a time"),
        {"alerts": []},
        {"alerts": ["text"]},
    ],
)
def test_other_alerts_start_nothing(client, payload):
    answer = send(client, payload)
    assert (answer.status_code, answer.json()) == (200, {"started": [], "left": []})
    assert runs() == {}


def test_without_a_version_an_alert_waits_after_a_way_back(client, rt):
    done = {"model": "flight_delay", "kind": "rollout", "act": "roll_back", "reason": "errors", "actor": "rollout:1"}
    rt.ledger.write(Entry.model_validate(done | {"phase": "done"}))
    payload = firing()
    del payload["alerts"][0]["labels"]["version"]
    answer = send(client, payload).json()
    assert answer["started"] == []
    assert "the traffic went back at" in answer["left"][0]
    assert len(send(client, firing()).json()["started"]) == 1


def test_without_a_version_the_run_asks_again_whether_the_traffic_went_back(client):
    payload = firing()
    del payload["alerts"][0]["labels"]["version"]
    (run_id,) = send(client, payload).json()["started"]
    assert (runs()[run_id]["leaving"], runs()[run_id]["unless_back"]) == ("", True)


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 401), ({"Authorization": "Basic x"}, 401), ({"Authorization": "Bearer x"}, 403)]
)
def test_who_shows_no_token_gets_nothing(client, headers, status):
    assert send(client, firing(), headers).status_code == status
    assert runs() == {}


def test_without_a_secret_nothing_is_taken(client, tmp_path):
    (tmp_path / "secret").write_text("short")
    assert send(client, firing(), {"Authorization": "Bearer short"}).status_code == 503
    (tmp_path / "secret").unlink()
    assert send(client, firing()).status_code == 503


@pytest.mark.parametrize("body", ["[]", "no json", '{"alerts": 3}'])
def test_what_is_not_alertmanagers_is_422(client, body):
    assert client.post("/alertmanager", content=body, headers=TOKEN).status_code == 422


def test_a_large_body_is_413(client):
    assert client.post("/alertmanager", content=b"x" * 1_100_000, headers=TOKEN).status_code == 413


def test_it_is_the_only_route_and_takes_posts_only(client):
    from modelops.api.alerts import app

    assert [(route.path, route.methods) for route in app.routes] == [("/alertmanager", {"POST"})]
    assert client.get("/alertmanager").status_code == 405
