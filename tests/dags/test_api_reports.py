"""The routes that list report pages: newest first, by kind, of a model and of the fleet, and what is not there."""

from __future__ import annotations

import os

from tests.dags.test_api import airflow_database, app, as_user  # noqa: F401 - fixtures


def test_pages_are_listed_newest_first_and_by_kind(app, tmp_path):  # noqa: F811
    folder = tmp_path / "reports" / "flight_delay"
    for age, name in enumerate(("report-weekly-2013-W31.html", "20130801T0000-v3.html", "evaluation-run_1.html")):
        (folder / name).write_text("<p>")
        os.utime(folder / name, (1_000_000 - age, 1_000_000 - age))
    (folder / ".half.html.tmp").write_text("")
    client = as_user(app, "op")
    found = client.get("/models/flight_delay/reports").json()
    assert [one["kind"] for one in found] == ["window", "weekly", "window", "evaluation"]
    assert found[1]["link"] == "/modelops/v1/models/flight_delay/reports/report-weekly-2013-W31.html"
    weekly = client.get("/models/flight_delay/reports", params={"kind": "weekly"}).json()
    assert [one["name"] for one in weekly] == ["report-weekly-2013-W31.html"]
    assert len(client.get("/models/flight_delay/reports", params={"limit": 2}).json()) == 2
    assert client.get("/models/flight_delay/reports", params={"limit": 0}).status_code == 422
    assert client.get(weekly[0]["link"].removeprefix("/modelops/v1")).text == "<p>"


def test_the_fleets_pages_and_what_is_not_there(app, tmp_path):  # noqa: F811
    client = as_user(app, "op")
    assert client.get("/reports").json() == []
    (tmp_path / "reports" / "_fleet").mkdir()
    (tmp_path / "reports" / "_fleet" / "report-daily-2013-08-01.html").write_text("<p>")
    (one,) = client.get("/reports").json()
    assert client.get(one["link"].removeprefix("/modelops/v1")).status_code == 200
    assert client.get("/models/health_visits/reports").json() == []
    assert client.get("/models/nobody/reports").status_code == 404


def test_nobody_lists_them_without_a_login_or_a_role(app):  # noqa: F811
    from fastapi.testclient import TestClient

    for path in ("/reports", "/models/flight_delay/reports"):
        assert TestClient(app).get(path).status_code == 401
        assert as_user(app, None).get(path).status_code == 403
        app.dependency_overrides.clear()
