"""The routes of deployments on a real database: list, one model's, one with its approval and history, and what is not there."""

from __future__ import annotations

import pytest
from airflow.utils.db import initdb

from include.lifecycle.ledger import Entry
from tests.unit.lifecycle.rollout.conftest import open_rollout  # noqa: F401 - a fixture


@pytest.fixture(scope="module", autouse=True)
def airflow_database():
    initdb()


@pytest.fixture
def client(operators_client):
    return operators_client


def test_deployments_are_listed_newest_first_and_read_on(rt, client, open_rollout):  # noqa: F811
    number = open_rollout(requested_by=["ada"])
    (one,) = client.get("/deployments").json()
    assert (one["id"], one["model"], one["state"], one["environment"]) == (number, "churn", "planned", "staging")
    assert one["requested_by"] == ["ada"]
    assert client.get("/deployments", params={"before": number}).json() == []
    assert len(client.get("/models/churn/deployments", params={"open": True}).json()) == 1
    assert client.get("/deployments", params={"limit": 0}).status_code == 422


def test_one_deployment_has_its_history(rt, client, open_rollout):  # noqa: F811
    number = open_rollout()
    told = {"weights": {"7": 90, "8": 10}, "verdicts": [{"check": "error_rate", "outcome": "pass", "reason": "r"}]}
    entry = Entry(model="churn", kind="rollout", act="shift_traffic", reason="step 1", actor="rollout:1", phase="done")
    rt.ledger.write(entry.model_copy(update={"idempotency_key": f"rollout:{number}:1", "evidence": told}))
    rt.ledger.write(entry.model_copy(update={"idempotency_key": f"rollout:{number}1:1", "reason": "another rollout's"}))
    found = client.get(f"/models/churn/deployments/{number}").json()
    assert [event["reason"] for event in found["history"]] == ["step 1"]
    assert found["history"][0]["weights"] == {"7": 90, "8": 10}
    assert found["verdicts"] == told["verdicts"]
    assert found["approval"] is None
    assert found["plan"]["champion"] == 7


def test_what_is_not_there_is_not_found(client, open_rollout):  # noqa: F811
    number = open_rollout()
    assert client.get("/models/nobody/deployments").status_code == 404
    assert client.get("/models/flight_delay/deployments").json() == []
    assert client.get(f"/models/flight_delay/deployments/{number}").status_code == 404
    assert client.get(f"/models/churn/deployments/{number + 1}").status_code == 404
    assert client.get("/models/churn/deployments/x").status_code == 422
