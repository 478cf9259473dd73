"""The plugin's routes: nobody without a login, nobody without the right role, and no file outside the reports."""

from __future__ import annotations

import pytest
from airflow.api_fastapi.app import create_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from airflow.utils.db import initdb
from fastapi.testclient import TestClient

from include.lifecycle.runtime import runtime
from include.settings import settings


@pytest.fixture(scope="module", autouse=True)
def airflow_database():
    initdb()


@pytest.fixture
def app(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELOPS_STORAGE", str(tmp_path))
    settings.cache_clear()
    runtime.cache_clear()
    from modelops.api.app import app

    create_auth_manager().init()
    folder = tmp_path / "reports" / "flight_delay"
    folder.mkdir(parents=True)
    (folder / "window.html").write_text("<p>drift</p>")
    (tmp_path / "secret.html").write_text("no")
    yield app
    app.dependency_overrides.clear()
    settings.cache_clear()
    runtime.cache_clear()


def as_user(app, role):
    app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username="somebody", role=role)
    return TestClient(app)


def test_every_route_asks_for_a_login(app):
    client = TestClient(app)
    for route in app.routes:
        path = route.path.format(model="flight_delay", name="window.html", number=1)
        for method in route.methods:
            assert client.request(method, path).status_code == 401, (method, path)


PATHS = ["/models/flight_delay/reports/window.html", "/deployments", "/models/flight_delay/deployments", "/experiments"]
PATHS += [f"/models/flight_delay/{name}" for name in ("windows", "signals", "health", "decisions", "trainings", "retraining")]


@pytest.mark.parametrize("path", [*PATHS, "/models/flight_delay/deployments/1", "/models/flight_delay/experiment"])
def test_a_user_without_a_role_is_refused(app, path):
    assert as_user(app, None).get(path).status_code == 403


def test_a_reader_sees_the_report(app):
    answer = as_user(app, "op").get("/models/flight_delay/reports/window.html")
    assert (answer.status_code, answer.text) == (200, "<p>drift</p>")


@pytest.mark.parametrize("name", ["none.html", "..%2F..%2Fsecret.html", "../../secret.html"])
def test_nothing_else_is_given_away(app, name):
    assert as_user(app, "admin").get(f"/models/flight_delay/reports/{name}").status_code == 404
