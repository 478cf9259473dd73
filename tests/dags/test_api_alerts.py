"""The routes of alerts on a real database: who may read, who may answer, and what is answered."""

from __future__ import annotations

import pytest
from airflow.api_fastapi.app import create_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from fastapi.testclient import TestClient

from include.lifecycle.alerting.raising import AlertNotice, raise_alert
from include.lifecycle.database import transaction
from tests.dags.own_process import own_process


@pytest.fixture
def app(rt, monkeypatch):
    with own_process(rt, monkeypatch):
        from modelops.api.app import app

        create_auth_manager().init()
        yield app
        app.dependency_overrides.clear()


def as_user(app, role):
    app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username="ada", role=role)
    return TestClient(app)


@pytest.fixture
def numbers(rt):
    with transaction(rt.engine) as connection:
        told = {"kind": "decay", "severity": "P1", "title": "Skill is lost", "reason": "5 %", "runbook": "alert-decay"}
        return [
            raise_alert(connection, rt, AlertNotice(model=model, key=f"signal:{model}", **told), actor="test")
            for model in ("churn", "fraud")
        ]


def test_alerts_are_listed_newest_first_and_filtered(app, numbers):
    client = as_user(app, "op")
    found = client.get("/alerts").json()
    assert [one["id"] for one in found] == numbers[::-1]
    assert (found[0]["severity"], found[0]["level"], found[0]["state"]) == ("P1", "WARNING", "open")
    assert [one["model"] for one in client.get("/alerts", params={"model": "churn"}).json()] == ["churn"]
    assert client.get("/alerts", params={"severity": "P0"}).json() == []
    assert client.get("/alerts", params={"before": numbers[1]}).json()[0]["id"] == numbers[0]
    assert client.get("/alerts", params={"severity": "P9"}).status_code == 422
    assert client.get("/incidents").json() == []


def test_one_alert_has_its_messages_and_a_missing_one_is_not_found(app, numbers):
    client = as_user(app, "op")
    assert client.get(f"/alerts/{numbers[0]}").json()["messages"] == []
    assert client.get("/alerts/99").status_code == 404
    assert client.post("/alerts/99/ack").status_code == 404


def test_who_may_start_the_dag_answers_in_his_own_name(app, numbers):
    client = as_user(app, "op")
    taken = client.post(f"/alerts/{numbers[0]}/ack", json={"reason": "on it"}).json()
    assert (taken["state"], taken["told"]) == ("acknowledged", "ada has it: on it")
    assert client.post(f"/alerts/{numbers[0]}/resolve").status_code == 422
    ended = client.post(f"/alerts/{numbers[0]}/resolve", json={"reason": "a false alarm"})
    assert ended.json()["state"] == "resolved"
    assert [one["id"] for one in client.get("/alerts").json()] == [numbers[1]]
    assert len(client.get("/alerts", params={"all": True}).json()) == 2


@pytest.mark.parametrize("path", ["/alerts", "/alerts/1", "/incidents"])
def test_without_a_role_nothing_is_read(app, numbers, path):
    assert as_user(app, None).get(path).status_code == 403


@pytest.mark.parametrize(("role", "status"), [(None, 403), ("viewer", 403), ("op", 200)])
@pytest.mark.parametrize("act", ["ack", "resolve"])
def test_a_viewer_may_not_answer(app, numbers, role, status, act):
    assert as_user(app, role).post(f"/alerts/{numbers[0]}/{act}", json={"reason": "seen"}).status_code == status


@pytest.mark.parametrize("act", ["ack", "resolve"])
def test_without_a_login_nobody_answers(app, numbers, act):
    assert TestClient(app).post(f"/alerts/{numbers[0]}/{act}").status_code == 401
