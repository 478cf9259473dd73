"""Who raises alerts: signals of monitoring, rollouts, trainings, questions, the watchdog, and what waits too long."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import insert, select, update

from include.lifecycle.alerting.events import end_event, tell_event, tell_rollout
from include.lifecycle.alerting.kinds import PLATFORM
from include.lifecycle.alerting.policy import policies_of
from include.lifecycle.alerting.signal_alerts import tell_signals
from include.lifecycle.alerting.stale import tell_stale
from include.lifecycle.database import lock_model, transaction
from include.lifecycle.loading import load_model
from include.lifecycle.rollout.states import Status
from include.lifecycle.rollout.watchdog.to_ledger import import_journal
from include.lifecycle.tables import alerts, candidates, signals, training_requests
from tests.conftest import NOW
from tests.unit.lifecycle.alerting.conftest import WALL
from tests.unit.lifecycle.rollout.test_machine import plan_of

SPEC = load_model("flight_delay")


def standing(rt):
    with transaction(rt.engine) as connection:
        query = select(alerts).where(alerts.c.state != "resolved").order_by(alerts.c.id)
        return {row["key"]: row for row in connection.execute(query).mappings()}


def look(rt):
    with transaction(rt.engine) as connection:
        lock_model(connection, SPEC.name)
        tell_signals(connection, rt, SPEC, actor="test")
    return standing(rt)


def signal(rt, cause, **changes):
    values = {
        "model": SPEC.name,
        "kind": cause.partition(":")[0],
        "cause": cause,
        "effect": 0.2,
        "severity": "warn",
        "version": 1,
    }
    values |= {"first_seen": NOW, "last_seen": NOW, "evidence": {"reason": "because", "rows": 4000}} | changes
    with transaction(rt.engine) as connection:
        return connection.execute(insert(signals).values(values).returning(signals.c.id)).scalar_one()


def change(rt, number, **values):
    with transaction(rt.engine) as connection:
        connection.execute(update(signals).where(signals.c.id == number).values(values))


def test_an_open_signal_is_an_alert_until_it_is_resolved(rt):
    number = signal(rt, "covariate:temp")
    alert = look(rt)["signal:covariate:temp"]
    assert (alert["severity"], alert["title"], alert["reason"]) == ("P2", "Inputs have drifted: temp", "because")
    assert (alert["runbook"], alert["source"]) == ("alert-drift", "flight_delay/temp")
    assert alert["evidence"]["signal"] == number
    assert look(rt)["signal:covariate:temp"]["count"] == 1  # nothing new was seen
    change(rt, number, last_seen=NOW + timedelta(hours=1), windows_failed=2)
    assert look(rt)["signal:covariate:temp"]["count"] == 2
    change(rt, number, state="resolved")
    assert look(rt) == {}


def test_a_signal_that_gets_worse_raises_its_alert(rt):
    number = signal(rt, "covariate:temp")
    look(rt)
    change(rt, number, effect=0.6, severity="act")
    assert look(rt)["signal:covariate:temp"]["severity"] == "P1"


def test_a_decay_calls_nobody_before_it_is_confirmed(rt):
    confirm, lost = SPEC.retraining.confirm, {"reason": "r", "lower": 0.1, "measure": "roc_auc"}
    number = signal(rt, "decay:roc_auc", severity="act", windows_failed=confirm.windows - 1, evidence=lost)
    assert look(rt)["signal:decay:roc_auc"]["severity"] == "P3"
    short = lost | {"spanning_seconds": confirm.spanning.total_seconds() - 1}
    change(rt, number, windows_failed=confirm.windows, last_seen=NOW + timedelta(hours=1), evidence=short)
    assert look(rt)["signal:decay:roc_auc"]["severity"] == "P3"
    change(rt, number, last_seen=NOW + timedelta(hours=2), evidence=lost | {"spanning_seconds": confirm.spanning.total_seconds()})
    assert look(rt)["signal:decay:roc_auc"]["severity"] == "P0"


def test_a_loss_that_no_honest_window_shows_waits_for_no_second_one(rt):
    concept = SPEC.monitoring.performance.concept
    lost = {"reason": "r", "lower": concept + 0.01, "measure": "roc_auc"}
    number = signal(rt, "decay:roc_auc", severity="concept", windows_failed=1, evidence=lost)
    assert look(rt)["signal:decay:roc_auc"]["severity"] == "P0"
    change(rt, number, state="resolved")
    look(rt)
    signal(rt, "decay:roc_auc", severity="concept", windows_failed=1, evidence=lost | {"lower": concept})
    assert look(rt)["signal:decay:roc_auc"]["severity"] == "P3"


def test_a_signal_in_training_keeps_its_alert_until_the_training_ended(rt):
    number = signal(rt, "decay:roc_auc", severity="act")
    look(rt)
    with transaction(rt.engine) as connection:
        told = {
            "model": SPEC.name,
            "source": "signal",
            "reason": "r",
            "state": "claimed",
            "requested_at": NOW,
            "requested_by": "decide",
        }
        request = connection.execute(insert(training_requests).values(told).returning(training_requests.c.id)).scalar_one()
    change(rt, number, state="accepted", training_request_id=request)
    assert "signal:decay:roc_auc" in look(rt)
    with transaction(rt.engine) as connection:
        connection.execute(update(training_requests).values(state="done"))
    assert look(rt) == {}


def test_faults_of_one_connection_share_a_source_and_requests_of_people_are_no_finding(rt):
    signal(rt, "data_fault:temp", severity="critical")
    signal(rt, "decay:roc_auc")
    signal(rt, "manual")
    signal(rt, "covariate:temp:nulls")
    found = {key: row["source"] for key, row in look(rt).items()}
    assert found == {
        "signal:data_fault:temp": "connection:production_db",
        "signal:decay:roc_auc": "flight_delay/model",
        "signal:covariate:temp:nulls": "flight_delay/temp",
    }


@pytest.mark.parametrize(
    ("state", "kind"),
    [("rolled_back", "rollout_back"), ("aborted", "rollout_back"), ("held", "rollout_held"), ("refused", "rollout_refused")],
)
def test_a_rollout_that_ends_badly_is_an_alert_until_one_is_promoted(rt, state, kind):
    plan = plan_of()
    with transaction(rt.engine) as connection:
        tell_rollout(connection, rt, 3, plan, Status(state=state, reason="errors"))
    assert list(standing(rt)) == [f"{kind}:newest"]
    with transaction(rt.engine) as connection:
        tell_rollout(connection, rt, 4, plan, Status(state="promoted", reason="good"))
    assert standing(rt) == {}


def test_a_rollout_that_waits_for_a_person_is_an_alert_until_it_goes_on(rt):
    held = Status(state="running", held=True, paused=True, reason="inconclusive in 24h")
    with transaction(rt.engine) as connection:
        tell_rollout(connection, rt, 3, plan_of(), held)
    (alert,) = standing(rt).values()
    assert (alert["key"], alert["severity"]) == ("rollout_held:open", "P2")
    assert alert["reason"] == "version 8 waits for a person: inconclusive in 24h"
    with transaction(rt.engine) as connection:
        tell_rollout(connection, rt, 3, plan_of(), Status(state="running", reason="resumed"))
    assert standing(rt) == {}


def test_drills_and_aa_tests_alarm_nobody(rt):
    with transaction(rt.engine) as connection:
        for changes in ({"model": "_drill_1"}, {"strategy": "aa_test"}):
            tell_rollout(connection, rt, 1, plan_of(**changes), Status(state="rolled_back", reason="on purpose"))
    assert standing(rt) == {}


def test_the_watchdogs_model_down_is_a_p0_until_it_is_up(rt):
    journal = rt.settings.gateway_dir / "watchdog.jsonl"
    journal.parent.mkdir(parents=True)
    line = {
        "act": "model_down",
        "model": "churn",
        "reason": "no server is healthy for 20 s",
        "wall_at": "2026-01-01T00:00:00+00:00",
    }
    journal.write_text(json.dumps(line) + "\n")
    list(import_journal(rt))
    (alert,) = standing(rt).values()
    assert (alert["kind"], alert["severity"], alert["runbook"]) == ("model_down", "P0", "a-model-is-down-p0")
    list(import_journal(rt))
    with journal.open("a") as handle:
        handle.write(json.dumps(line | {"act": "model_up", "wall_at": "2026-01-01T00:05:00+00:00"}) + "\n")
    list(import_journal(rt))
    assert standing(rt) == {}


def test_events_end_by_their_key(rt):
    with transaction(rt.engine) as connection:
        tell_event(connection, rt, "drill_failed", PLATFORM, key="newest", reason="too slow", actor="test")
        assert end_event(connection, rt, "drill_failed", PLATFORM, key="other", reason="x", actor="test") is None
        assert end_event(connection, rt, "drill_failed", PLATFORM, key="newest", reason="x", actor="test") is not None
    assert standing(rt) == {}


def test_what_waits_too_long_is_one_alert_that_ends_by_itself(rt):
    with transaction(rt.engine) as connection:
        values = {"model": "churn", "version": 3, "state": "held", "verdict": "inconclusive", "created_at": NOW}
        connection.execute(insert(candidates).values(values))
    of = policies_of(rt.settings)
    tell_stale(rt, of, WALL + timedelta(hours=23))
    assert standing(rt) == {}
    for _ in range(2):
        tell_stale(rt, of, WALL + timedelta(hours=25))
    (alert,) = standing(rt).values()
    assert (alert["key"], alert["count"], alert["severity"]) == ("waiting:candidates:1", 1, "P3")
    assert "a version waits for its rollout" in alert["reason"]
    with transaction(rt.engine) as connection:
        connection.execute(update(candidates).values(state="done"))
    tell_stale(rt, of, WALL + timedelta(hours=25))
    assert standing(rt) == {}
