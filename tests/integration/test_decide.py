"""The arbiter on a real PostgreSQL: requests, refusals that stay pending, a quiet ledger, and the sweep."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import insert, select, text, update

from include.lifecycle.clock import FixedClock
from include.lifecycle.decisions.decide import decide
from include.lifecycle.decisions.sweep import unclaimed
from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.runtime import RunContext
from include.lifecycle.tables import candidates, ledger, rollouts, signals, training_requests
from tests.conftest import NOW
from tests.unit.lifecycle.monitoring.examples import MODEL, make_spec

RUN = RunContext(model="all", run_id="decide-1", task="decide")
SPEC = make_spec()
DAY = timedelta(days=1)


def open_signal(rt, cause="decay:calibration_gap", **changes) -> int:
    values = {
        "model": MODEL,
        "kind": cause.partition(":")[0],
        "cause": cause,
        "effect": 0.12,
        "severity": "act",
        "version": 1,
        "first_seen": NOW - 3 * DAY,
        "last_seen": NOW,
        "windows_failed": 3,
        "evidence": {"spanning_seconds": 3 * 86400, "reason": "mean prediction 0.29 against 0.14"},
    }
    with rt.engine.begin() as connection:
        return connection.execute(insert(signals).values(values | changes).returning(signals.c.id)).scalar_one()


def add(rt, table, **values):
    with rt.engine.begin() as connection:
        connection.execute(insert(table).values({"model": MODEL} | values))


def rows_of(rt, table):
    with rt.engine.begin() as connection:
        return list(connection.execute(select(table).order_by(table.c.id)).mappings())


def set_state(rt, table, **values):
    with rt.engine.begin() as connection:
        connection.execute(update(table).values(values))


def test_a_confirmed_decay_becomes_one_training_request(rt):
    signal_id = open_signal(rt)
    drift_id = open_signal(rt, "covariate:warmth", severity="warn")
    found = decide([SPEC], rt, RUN)
    assert found.training_requested == [MODEL]
    (request,) = rows_of(rt, training_requests)
    assert (request["source"], request["state"], request["requested_at"]) == ("signal", "open", NOW)
    assert request["cause"]["cause"] == "decay:calibration_gap"
    assert request["cause"]["measure"] == "calibration_gap"
    assert request["cause"]["signals"] == {"decay:calibration_gap": signal_id, "covariate:warmth": drift_id}
    assert {row["state"] for row in rows_of(rt, signals)} == {"accepted"}
    assert {row["training_request_id"] for row in rows_of(rt, signals)} == {request["id"]}
    entries = rows_of(rt, ledger)
    assert [row["act"] for row in entries] == ["retrain on decay:calibration_gap", "retrain on covariate:warmth"]
    assert found.ledger_ids == [row["id"] for row in entries]
    assert decide([SPEC], rt, RUN).training_requested == []
    assert len(rows_of(rt, training_requests)) == 1


def test_a_refusal_stays_pending_and_the_ledger_stays_quiet(rt, make_runtime):
    open_signal(rt)
    add(rt, rollouts, version=2, strategy="canary", state="running", created_at=NOW)
    assert len(decide([SPEC], rt, RUN).ledger_ids) == 1
    assert decide([SPEC], rt, RUN).ledger_ids == []
    (signal,) = rows_of(rt, signals)
    assert (signal["state"], signal["last_decision"]) == ("open", "refuse:open_rollout")
    set_state(rt, rollouts, state="promoted")
    assert decide([SPEC], rt, RUN).training_requested == [MODEL]


def test_cooldown_is_event_time(rt, make_runtime):
    open_signal(rt)
    cause = {"cause": "schedule"}
    add(
        rt,
        training_requests,
        source="schedule",
        reason="r",
        state="done",
        requested_at=NOW - DAY / 2,
        requested_by="x",
        cause=cause,
    )
    assert decide([SPEC], rt, RUN).training_requested == []
    later = make_runtime(FixedClock(NOW + DAY))
    assert decide([SPEC], later, RUN).training_requested == [MODEL]


def test_a_spent_cause_waits_until_it_has_grown(rt, make_runtime):
    later = make_runtime(FixedClock(NOW + 30 * DAY))
    open_signal(rt)
    decide([SPEC], rt, RUN)
    set_state(rt, training_requests, state="done", version=2, outcome="held")
    add(rt, rollouts, version=2, strategy="canary", state="rolled_back", created_at=NOW)
    again = open_signal(rt, effect=0.15)
    decide([SPEC], later, RUN)
    assert rows_of(rt, signals)[-1]["last_decision"] == "refuse:spent"
    with rt.engine.begin() as connection:
        connection.execute(update(signals).where(signals.c.id == again).values(effect=0.19))
    assert decide([SPEC], later, RUN).training_requested == [MODEL]


def test_a_training_that_failed_does_not_spend_its_cause(rt, make_runtime):
    open_signal(rt)
    decide([SPEC], rt, RUN)
    set_state(rt, training_requests, state="failed", outcome="the source database was down")
    open_signal(rt)
    later = make_runtime(FixedClock(NOW + 2 * DAY))  # the cooldown, doubled by one fruitless training
    assert decide([SPEC], later, RUN).training_requested == [MODEL]


def test_a_promoted_version_has_no_spent_causes(rt, make_runtime):
    open_signal(rt)
    decide([SPEC], rt, RUN)
    set_state(rt, training_requests, state="done", version=2, outcome="registered")
    add(rt, rollouts, version=2, strategy="canary", state="promoted", created_at=NOW)
    open_signal(rt, version=2)
    later = make_runtime(FixedClock(NOW + 2 * DAY))
    assert decide([SPEC], later, RUN).training_requested == [MODEL]


def test_fruitless_trainings_double_the_cooldown(rt, make_runtime):
    cause = {"cause": "decay:roc_auc"}
    add(rt, training_requests, source="signal", reason="r", state="failed", requested_at=NOW, requested_by="x", cause=cause)
    open_signal(rt)
    after = {days: make_runtime(FixedClock(NOW + days * DAY)) for days in (1, 2)}
    assert decide([SPEC], after[1], RUN).training_requested == []
    assert "after 1 fruitless" in rows_of(rt, ledger)[-1]["reason"]
    assert decide([SPEC], after[2], RUN).training_requested == [MODEL]


def test_a_waiting_candidate_counts_as_a_rollout(rt):
    open_signal(rt)
    add(rt, candidates, version=2, state="open", verdict="pass", created_at=NOW)
    decide([SPEC], rt, RUN)
    assert rows_of(rt, signals)[0]["last_decision"] == "refuse:open_rollout"


def test_a_data_fault_freezes(rt):
    open_signal(rt)
    open_signal(rt, "data_fault:wind", severity="critical")
    assert decide([SPEC], rt, RUN).training_requested == []
    assert [row["last_decision"] for row in rows_of(rt, signals)] == ["refuse:frozen", "alert:data_fault"]


def test_one_models_signals_do_not_concern_another(rt):
    open_signal(rt)
    other = make_spec(name="snow")
    assert decide([other], rt, RUN).training_requested == []
    assert decide([other, SPEC], rt, RUN).training_requested == [MODEL]


def test_a_dead_database_is_named(make_runtime):
    dead = make_runtime(MODELOPS_DATABASE_URL="postgresql+psycopg2://nobody@127.0.0.1:1/modelops")
    with pytest.raises(SourceUnavailableError, match=r"127\.0\.0\.1:1"):
        decide([SPEC], dead, RUN)


def test_the_sweep_names_what_waits(rt):
    assert not any(unclaimed(rt).model_dump().values())
    open_signal(rt)
    add(rt, candidates, version=2, state="open", verdict="pass", created_at=NOW)
    assert (unclaimed(rt).signals, unclaimed(rt).candidates, unclaimed(rt).training) == ([MODEL], [MODEL], [])
    with rt.engine.begin() as connection:
        connection.execute(text("UPDATE candidates SET state = 'done'"))
    decide([SPEC], rt, RUN)
    assert unclaimed(rt).model_dump() == {"training": [MODEL], "candidates": [], "signals": []}
