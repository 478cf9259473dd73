"""The routes of monitoring and decisions on a real database: what they tell, pages, and what is not there."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.utils.db import initdb
from sqlalchemy import insert

from include.lifecycle.cli import main
from include.lifecycle.ledger import Entry
from include.lifecycle.tables import candidates, desired_traffic, rollouts, signals, training_requests, windows
from tests.conftest import NOW

DAY = timedelta(days=1)
MODEL = "flight_delay"


@pytest.fixture(scope="module", autouse=True)
def airflow_database():
    initdb()


@pytest.fixture
def client(operators_client):
    return operators_client


def add(rt, table, *rows):
    with rt.engine.begin() as connection:
        return [connection.execute(insert(table).values({"model": MODEL} | row).returning(table.c.model)) for row in rows]


def window(day, *, version=1, revision=1, health=0.9, outcome="fail"):
    verdicts = [
        {"check": "covariate:temp", "outcome": outcome, "reason": "r", "evidence": {"effect": 0.4}},
        {"check": "decay:roc_auc", "outcome": "inconclusive", "reason": "r", "evidence": {}},
    ]
    told = {"version": version, "revision": revision, "rows": 400, "mature_rows": 0, "health": health, "verdicts": verdicts}
    return told | {
        "window_start": NOW + day * DAY,
        "window_end": NOW + (day + 1) * DAY,
        "health_parts": {"drift": 0.5},
        "measurements": {"measured_at": NOW.isoformat()},
        "report": "/somewhere/reports/window-1.html",
    }


def test_windows_come_newest_first_and_are_read_on(rt, client):
    add(rt, windows, window(0), window(1), window(1, revision=2, health=0.5), window(0, version=2))
    found = client.get(f"/models/{MODEL}/windows").json()
    assert [(one["version"], one["revision"]) for one in found] == [(2, 1), (1, 2), (1, 1), (1, 1)]
    assert (found[0]["failed"], found[0]["inconclusive"], found[0]["verdicts"]) == (["covariate:temp"], ["decay:roc_auc"], None)
    assert (found[0]["report"], found[1]["band"]) == ("window-1.html", "critical")
    page = client.get(f"/models/{MODEL}/windows", params={"limit": 1, "before": found[0]["id"], "verdicts": True}).json()
    assert [one["id"] for one in page] == [found[1]["id"]]
    assert page[0]["verdicts"][0]["evidence"] == {"effect": 0.4}
    assert [one["version"] for one in client.get(f"/models/{MODEL}/windows", params={"version": 2}).json()] == [2]
    for wrong in ({"limit": 0}, {"limit": 501}, {"before": 0}, {"version": "x"}):
        assert client.get(f"/models/{MODEL}/windows", params=wrong).status_code == 422


def test_health_is_the_champions_by_newest_revisions(rt, client):
    assert client.get(f"/models/{MODEL}/health").json()["health"] is None
    add(rt, windows, window(0), window(1, health=0.2), window(1, revision=2, health=0.7), window(2, health=None))
    add(rt, windows, window(5, version=2))
    add(rt, desired_traffic, {"revision": 1, "champion": 1})
    found = client.get(f"/models/{MODEL}/health").json()
    assert (found["version"], found["health"], found["band"]) == (1, 0.7, "warning")
    assert [one["health"] for one in found["history"]] == [None, 0.7, 0.9]
    assert len(client.get(f"/models/{MODEL}/health", params={"limit": 1}).json()["history"]) == 1


def test_signals_and_decisions(rt, client):
    seen = {"kind": "covariate", "effect": 0.4, "severity": "warn", "version": 1, "first_seen": NOW, "last_seen": NOW}
    add(rt, signals, seen | {"cause": "covariate:temp", "state": "resolved"}, seen | {"cause": "covariate:wind"})
    found = client.get(f"/models/{MODEL}/signals").json()
    assert [one["cause"] for one in found] == ["covariate:wind", "covariate:temp"]
    assert [one["cause"] for one in client.get(f"/models/{MODEL}/signals", params={"state": "open"}).json()] == ["covariate:wind"]
    assert client.get(f"/models/{MODEL}/signals", params={"state": "odd"}).status_code == 422
    assert client.get(f"/models/{MODEL}/health").json()["open_signals"] == ["covariate:wind"]
    for number in (1, 2):
        told = {"code": "alert:no_decay", "signal": {"id": number}}
        entry = Entry(model=MODEL, kind="decision", act="alert on covariate:wind", reason="r", actor="decide", evidence=told)
        rt.ledger.write(entry.model_copy(update={"version_before": 1}))
    rt.ledger.write(Entry(model=MODEL, kind="signal", act="opened", reason="r", actor="monitor"))
    made = client.get(f"/models/{MODEL}/decisions").json()
    assert [one["evidence"]["signal"]["id"] for one in made] == [2, 1]
    assert (made[0]["version"], made[0]["act"]) == (1, "alert on covariate:wind")
    assert client.get(f"/models/{MODEL}/decisions", params={"before": made[1]["id"]}).json() == []


def test_trainings_and_what_came_of_them(rt, client, capsys):
    asked = {"source": "signal", "reason": "a gap", "requested_by": "decide", "cause": {"cause": "decay:roc_auc"}}
    for day, state, version in ((0, "done", 2), (10, "done", 3), (40, "failed", None), (41, "refused", None), (42, "open", None)):
        row = {"state": state, "version": version, "requested_at": NOW + day * DAY, "run_id": f"run-{day}"}
        add(rt, training_requests, asked | row)
    add(rt, rollouts, {"version": 2, "strategy": "canary", "state": "promoted", "created_at": NOW})
    add(rt, rollouts, {"version": 3, "strategy": "canary", "state": "rolled_back", "created_at": NOW})
    confirmed = Entry(model=MODEL, kind="training", act="confirm training", reason="r", actor="train", run_id="run-0")
    rt.ledger.write(confirmed)
    add(rt, candidates, {"version": 2, "verdict": "pass", "created_at": NOW, "run_id": "run-0"})
    found = client.get(f"/models/{MODEL}/trainings").json()
    assert [one["outcome"] for one in found] == ["under_way", "refused", "failed", "not_promoted", "promoted"]
    assert found[-1]["cause"] == "decay:roc_auc"
    assert 0 <= found[-1]["seconds"] < 60
    assert found[0]["seconds"] is None
    assert [one["id"] for one in client.get(f"/models/{MODEL}/trainings", params={"before": found[3]["id"]}).json()] == [
        found[4]["id"]
    ]
    numbers = client.get(f"/models/{MODEL}/retraining").json()
    assert (numbers["requests"], numbers["by_source"]) == (5, {"signal": 5})
    assert numbers["by_outcome"] == {"promoted": 1, "not_promoted": 1, "failed": 1, "refused": 1, "under_way": 1}
    assert (numbers["promoted_share"], numbers["days_between"]) == (pytest.approx(1 / 3), 10)
    capsys.readouterr()
    assert main(["retraining", MODEL, "history", "--json"], settings=rt.settings) == 0
    assert '"requests": 5' in capsys.readouterr().out
    assert main(["retraining", MODEL, "history", "--limit", "2"], settings=rt.settings) == 0
    out = capsys.readouterr().out
    assert "33% of those that ended" in out
    assert ("under_way" in out, out.count("decay:roc_auc")) == (True, 2)


@pytest.mark.parametrize("name", ["windows", "signals", "health", "decisions", "trainings", "retraining"])
def test_a_model_that_there_is_not(client, name):
    assert client.get(f"/models/nobody/{name}").status_code == 404
    assert client.get(f"/models/{MODEL}/{name}").status_code == 200
