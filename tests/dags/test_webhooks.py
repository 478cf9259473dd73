"""MLflow's webhook: only what MLflow signed, freshly and for the first time, becomes a row; and that exactly once."""

from __future__ import annotations

import json
import time
from uuid import uuid4

import pytest
from airflow.utils.db import initdb
from fastapi.testclient import TestClient
from mlflow.webhooks.delivery import _generate_hmac_signature
from sqlalchemy import select

from include.lifecycle.decisions.deliveries import WEBHOOK
from include.lifecycle.runtime import runtime
from include.lifecycle.tables import deliveries, signals
from include.settings import settings

SECRET = "a-secret-of-some-length"
TAGGED = {
    "entity": "model_version_tag",
    "action": "set",
    "timestamp": "2026-11-22T12:00:00+00:00",
    "data": {"name": "flight_delay", "version": "3", "key": "retrain", "value": "new aircraft types"},
}
REGISTERED = TAGGED | {
    "entity": "model_version",
    "action": "created",
    "data": {"name": "flight_delay", "version": "4", "tags": {}},
}


@pytest.fixture(scope="module", autouse=True)
def airflow_database():
    initdb()


@pytest.fixture
def client(rt, served_here, tmp_path, monkeypatch):
    monkeypatch.setenv("MODELOPS_WEBHOOK_SECRET_FILE", str(tmp_path / "secret"))
    (tmp_path / "secret").write_text(SECRET + "\n")
    settings.cache_clear()
    from modelops.api.webhooks import app

    return TestClient(app)


def signed(payload, *, secret=SECRET, sent=None, delivery=None):
    """Body and headers as MLflow sends them, by MLflow's own signing."""
    body, delivery = json.dumps(payload), delivery or str(uuid4())
    timestamp = str(int(time.time() if sent is None else sent))
    signature = _generate_hmac_signature(secret, delivery, timestamp, body)
    headers = {"X-MLflow-Signature": signature, "X-MLflow-Timestamp": timestamp, "X-MLflow-Delivery-Id": delivery}
    return body, headers


def send(client, body, headers):
    return client.post("/mlflow", content=body, headers=headers)


def rows(rt, table):
    with rt.engine.begin() as connection:
        return list(connection.execute(select(table)).mappings())


def test_a_tag_that_asks_for_a_training_becomes_a_signal(client, rt):
    answer = send(client, *signed(TAGGED))
    assert (answer.status_code, answer.json()) == (200, {"model": "flight_delay"})
    (signal,) = rows(rt, signals)
    assert (signal["model"], signal["kind"], signal["cause"], signal["state"]) == (
        "flight_delay",
        "external",
        "external:mlflow_retrain",
        "open",
    )
    assert signal["evidence"]["reason"] == "tag retrain on version 3 in MLflow: new aircraft types"
    assert rt.ledger.read("flight_delay", kind="signal")[0]["actor"] == "mlflow:webhook"


@pytest.mark.parametrize(
    "payload",
    [
        REGISTERED,  # our own registrations come here too: they must not ask for the next training
        TAGGED | {"data": TAGGED["data"] | {"key": "stage"}},
        TAGGED | {"data": TAGGED["data"] | {"name": "somebody_elses"}},
        TAGGED | {"action": "deleted"},
        TAGGED | {"data": None},
    ],
)
def test_other_events_are_noted_and_ask_for_nothing(client, rt, payload):
    answer = send(client, *signed(payload))
    assert (answer.status_code, answer.json()) == (200, {"model": None})
    assert rows(rt, signals) == []
    assert [row["source"] for row in rows(rt, deliveries)] == [WEBHOOK]


@pytest.mark.parametrize("missing", ["X-MLflow-Signature", "X-MLflow-Timestamp", "X-MLflow-Delivery-Id"])
def test_an_unsigned_delivery_is_401(client, rt, missing):
    body, headers = signed(TAGGED)
    del headers[missing]
    assert send(client, body, headers).status_code == 401
    assert send(client, body, {}).status_code == 401
    assert rows(rt, deliveries) == []


def test_a_wrong_signature_is_403(client, rt):
    body, headers = signed(TAGGED)
    other = json.dumps(TAGGED | {"data": TAGGED["data"] | {"name": "health_visits"}})
    wrong = [
        signed(TAGGED, secret="another-secret-of-some-length"),
        (other, headers),
        (body, headers | {"X-MLflow-Delivery-Id": str(uuid4())}),
        (body, headers | {"X-MLflow-Timestamp": str(int(time.time()) + 1)}),
        (body, headers | {"X-MLflow-Signature": "v2," + headers["X-MLflow-Signature"][3:]}),
        (body, headers | {"X-MLflow-Signature": "v1,"}),
        (body, headers | {"X-MLflow-Signature": "v1,\u00fc".encode().decode("latin-1")}),
    ]
    for content, given in wrong:
        encoded = {name: value.encode("latin-1") for name, value in given.items()}
        assert client.post("/mlflow", content=content, headers=encoded).status_code == 403
    assert rows(rt, deliveries) == rows(rt, signals) == []


@pytest.mark.parametrize("age", [-310, 310])
def test_a_stale_signature_is_403(client, rt, age):
    assert send(client, *signed(TAGGED, sent=time.time() - age)).status_code == 403
    assert rows(rt, deliveries) == []


def test_a_timestamp_that_is_none_is_403(client):
    body, headers = signed(TAGGED)
    signature = _generate_hmac_signature(SECRET, "d", "soon", body)
    given = headers | {"X-MLflow-Timestamp": "soon", "X-MLflow-Delivery-Id": "d", "X-MLflow-Signature": signature}
    assert send(client, body, given).status_code == 403


def test_a_replayed_delivery_is_403_and_changes_nothing(client, rt):
    body, headers = signed(TAGGED)
    assert send(client, body, headers).status_code == 200
    assert send(client, body, headers).status_code == 403
    assert [row["effect"] for row in rows(rt, signals)] == [1.0]
    assert send(client, *signed(TAGGED)).status_code == 200
    assert [row["effect"] for row in rows(rt, signals)] == [2.0]


@pytest.mark.parametrize("body", ["[]", "no json"])
def test_a_signed_body_that_is_no_object_is_403(client, rt, body):
    signature = _generate_hmac_signature(SECRET, "d", stamp := str(int(time.time())), body)
    headers = {"X-MLflow-Signature": signature, "X-MLflow-Timestamp": stamp, "X-MLflow-Delivery-Id": "d"}
    assert send(client, body, headers).status_code == 403


def test_without_a_secret_nothing_is_taken(client, rt, tmp_path):
    (tmp_path / "secret").write_text("short")
    assert send(client, *signed(TAGGED, secret="short")).status_code == 503
    (tmp_path / "secret").unlink()
    answer = send(client, *signed(TAGGED, secret=""))
    assert answer.status_code == 503
    assert "secret" not in answer.text
    assert rows(rt, deliveries) == []


def test_a_database_that_is_down_loses_nothing(client, rt, monkeypatch):
    body, headers = signed(TAGGED)
    monkeypatch.setenv("MODELOPS_DATABASE_URL", "postgresql+psycopg2://modelops@127.0.0.1:1/modelops")
    settings.cache_clear()
    runtime.cache_clear()
    assert send(client, body, headers).status_code == 503
    monkeypatch.setenv("MODELOPS_DATABASE_URL", rt.settings.database_url)
    settings.cache_clear()
    runtime.cache_clear()
    assert send(client, body, headers).status_code == 200
    assert len(rows(rt, signals)) == 1


def test_a_large_body_is_refused_unread(client):
    body, headers = signed(TAGGED | {"data": "x" * 300_000})
    assert send(client, body, headers).status_code == 413


def test_it_is_the_only_route_and_takes_posts_only(client):
    from modelops.api.webhooks import app

    assert [(route.path, route.methods) for route in app.routes] == [("/mlflow", {"POST"})]
    assert client.get("/mlflow").status_code == 405


def test_decide_is_woken_by_an_asset_event(client):
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session

    from modelops.assets import signals as asset

    with create_session() as session:
        known = session.scalar(select(AssetModel).where(AssetModel.uri == asset().uri))
        if known is None:
            session.add(known := AssetModel(name=asset().name, uri=asset().uri, group="asset"))
            session.flush()
        number, before = known.id, session.query(AssetEvent).filter_by(asset_id=known.id).count()
    send(client, *signed(REGISTERED))
    send(client, *signed(TAGGED))
    with create_session() as session:
        events = session.scalars(select(AssetEvent).where(AssetEvent.asset_id == number).order_by(AssetEvent.id)).all()
        assert [event.extra for event in events[before:]] == [{"from": "mlflow webhook"}]
