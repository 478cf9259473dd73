"""Prometheus' alerts through Alertmanager's door: rows that open once, end when the alert does, and nothing without the token."""

from __future__ import annotations

import json

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, text

from include.lifecycle.database import transaction
from include.lifecycle.tables import alerts, ledger
from include.settings import settings
from tests.dags.conftest import ROOT

SECRET = "a-secret-of-some-length"
TOKEN = {"Authorization": f"Bearer {SECRET}"}
LABELS = {"alertname": "MonitorSilent", "model": "flight_delay", "severity": "critical", "priority": "P1"}
NOTES = {"summary": "silent for 4h", "description": "more than three times its schedule", "runbook": "docs/runbooks.md#here"}


@pytest.fixture
def client(rt, served_here, tmp_path, monkeypatch):
    monkeypatch.setenv("MODELOPS_ALERT_SECRET_FILE", str(tmp_path / "secret"))
    (tmp_path / "secret").write_text(SECRET + "\n")
    settings.cache_clear()
    from modelops.api.alertmanager import app

    return TestClient(app)


def call(*, status="firing", fingerprint="f1", notes=None, **labels):
    one = {"status": status, "labels": LABELS | labels, "annotations": NOTES if notes is None else notes}
    one |= {"startsAt": "2026-11-22T12:00:00.5Z", "fingerprint": fingerprint}
    return {"version": "4", "status": status, "receiver": "modelops", "alerts": [one]}


def send(client, payload, headers=TOKEN):
    return client.post("/alerts", json=payload, headers=headers)


def rows(rt):
    with transaction(rt.engine) as connection:
        return [dict(row) for row in connection.execute(select(alerts).order_by(alerts.c.id)).mappings()]


def test_a_firing_is_one_row_however_often_it_comes_and_ends_with_its_alert(client, rt):
    assert send(client, call()).json() == {"raised": 1, "resolved": 0}
    assert send(client, call()).status_code == 200
    (row,) = rows(rt)
    assert (row["model"], row["kind"], row["severity"], row["state"], row["count"]) == ("flight_delay", "alert", "P1", "open", 2)
    assert (row["title"], row["reason"], row["runbook"]) == ("silent for 4h", NOTES["description"], "here")
    assert row["evidence"]["labels"]["alertname"] == "MonitorSilent"
    assert send(client, call(status="resolved")).json() == {"raised": 0, "resolved": 1}
    assert send(client, call(status="resolved")).json() == {"raised": 0, "resolved": 0}
    assert rows(rt)[0]["state"] == "resolved"
    send(client, call())
    assert [row["state"] for row in rows(rt)] == ["resolved", "open"]
    with transaction(rt.engine) as connection:
        acts = list(connection.execute(select(ledger.c.act, ledger.c.actor).order_by(ledger.c.id)))
    assert acts == [("raise alert", "alertmanager"), ("resolve alert", "alertmanager"), ("raise alert", "alertmanager")]


def test_two_alerts_of_one_rule_are_two_rows(client, rt):
    send(client, call(fingerprint="a", instance="one"))
    send(client, call(fingerprint="b", instance="two"))
    assert len(rows(rt)) == 2


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"priority": "P0", "severity": "info"}, "P0"),
        ({"priority": "P9", "severity": "critical"}, "P1"),
        ({"priority": "", "severity": "Warning"}, "P2"),
        ({"priority": "", "severity": "info"}, "P3"),
        ({"priority": "", "severity": "loud"}, "P2"),
    ],
)
def test_the_severity_is_the_priority_else_the_usual_word(client, rt, labels, expected):
    send(client, call(**labels))
    assert [row["severity"] for row in rows(rt)] == [expected]


def test_what_is_about_no_model_is_the_platform_s(client, rt):
    payload = call(alertname="ExporterDown")
    del payload["alerts"][0]["labels"]["model"]
    send(client, payload)
    assert [row["model"] for row in rows(rt)] == ["platform"]


RUNBOOKS = [
    ({"runbook": "docs/runbooks.md#here"}, "here"),
    ({"runbook": "https://wiki.example/pages#disk"}, "https://wiki.example/pages#disk"),
    ({"runbook_url": "https://wiki.example/disk"}, "https://wiki.example/disk"),
    ({}, None),
]


@pytest.mark.parametrize(("notes", "kept"), RUNBOOKS)
def test_a_rule_names_our_section_or_a_page_of_its_own(client, rt, notes, kept):
    send(client, call(notes=notes))
    assert [row["runbook"] for row in rows(rt)] == [kept]


@pytest.mark.parametrize(("label", "kind"), [("model_down", "model_down"), ("covariate", "alert"), ("platform", "alert")])
def test_a_rule_names_a_kind_but_not_a_signal_s(client, rt, label, kind):
    send(client, call(kind=label))
    assert [row["kind"] for row in rows(rt)] == [kind]


def test_what_the_database_cannot_hold_stops_nobody(client, rt):
    assert send(client, call(notes={"summary": "a\0b\nc" + "x" * 5000}, model="m" * 500)).json() == {"raised": 1, "resolved": 0}
    (row,) = rows(rt)
    assert row["title"].startswith("a b c")
    assert (len(row["title"]), len(row["model"]), row["reason"]) == (1000, 63, row["title"])


def test_what_alertmanager_0_25_sends_is_read(client, rt):
    payload = json.loads((ROOT / "tests" / "dags" / "alertmanager.json").read_text())
    assert send(client, payload).json() == {"raised": 1, "resolved": 0}
    assert rows(rt)[0]["evidence"]["query"].startswith("http://prometheus:9090/graph")


@pytest.mark.parametrize(
    "alert", ["text", {}, {"status": "odd", "labels": {"alertname": "a"}}, {"status": "firing", "labels": []}]
)
def test_what_is_no_alert_is_left_out(client, rt, alert):
    assert send(client, {"alerts": [alert]}).json() == {"raised": 0, "resolved": 0}
    assert rows(rt) == []


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 401), ({"Authorization": "Basic x"}, 401), ({"Authorization": "Bearer x"}, 403)]
)
def test_who_shows_no_token_gets_nothing(client, rt, headers, status):
    assert send(client, call(), headers).status_code == status
    assert rows(rt) == []


def test_without_a_secret_nothing_is_taken(client, tmp_path):
    (tmp_path / "secret").unlink()
    assert send(client, call()).status_code == 503


@pytest.mark.parametrize("body", ["[]", "no json", '{"alerts": 3}'])
def test_what_is_not_alertmanagers_is_422(client, body):
    assert client.post("/alerts", content=body, headers=TOKEN).status_code == 422


def test_a_large_body_is_413(client):
    assert client.post("/alerts", content=b"x" * 1_100_000, headers=TOKEN).status_code == 413


def test_a_broken_database_asks_for_the_call_again(client, rt):
    with transaction(rt.engine) as connection:
        connection.execute(text("ALTER TABLE alerts RENAME TO gone"))
    assert send(client, call()).status_code == 503


def test_it_is_the_only_route_and_takes_posts_only(client):
    from modelops.api.alertmanager import app

    assert [(route.path, route.methods) for route in app.routes] == [("/alerts", {"POST"})]
    assert client.get("/alerts").status_code == 405
