"""Trigger sources on a real PostgreSQL: each becomes a row, several fold into one decision, none is lost while nobody looks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select, update

from include.lifecycle.clock import FixedClock
from include.lifecycle.decisions.automation import set_automation
from include.lifecycle.decisions.decide import Forced, decide
from include.lifecycle.decisions.deliveries import ExternalEvent, read_from, take_events
from include.lifecycle.decisions.preview import preview_decision
from include.lifecycle.decisions.sweep import unclaimed
from include.lifecycle.errors import LifecycleError
from include.lifecycle.ledger import Entry
from include.lifecycle.runtime import RunContext
from include.lifecycle.tables import candidates, deliveries, desired_traffic, ledger, signals, training_requests
from tests.conftest import NOW
from tests.integration.test_decide import add, open_signal, rows_of, set_state
from tests.unit.lifecycle.monitoring.examples import MODEL, make_spec

pytestmark = pytest.mark.integration
RUN = RunContext(model="all", run_id="decide-1", task="decide")
SPEC = make_spec(retraining={"schedule": "none"})
DAY = timedelta(days=1)


def serve(rt, version=1, registered=NOW):
    add(rt, desired_traffic, revision=1, champion=version)
    add(rt, candidates, version=version, verdict="pass", state="done", created_at=registered)


def event(key, *, at=None, **extra) -> ExternalEvent:
    return ExternalEvent(key, at or datetime.now(UTC), {"model": MODEL, "reason": "new tariff", "from_rest_api": True} | extra)


def test_an_old_champion_asks_for_a_training_once(rt, make_runtime):
    serve(rt, registered=NOW - 30 * DAY)
    assert decide([SPEC], rt, RUN).training_requested == []
    assert rows_of(rt, signals) == []
    later = make_runtime(FixedClock(NOW + DAY))
    assert decide([SPEC], later, RUN).training_requested == [MODEL]
    assert decide([SPEC], later, RUN).training_requested == []
    (request,) = rows_of(rt, training_requests)
    assert request["cause"]["cause"] == "age:champion"
    assert "version 1 is 31.0d old; retraining.max_age is 30d" in request["reason"]
    signal = rows_of(rt, signals)[0]
    assert (signal["kind"], signal["state"], signal["version"], round(signal["effect"], 3)) == ("age", "accepted", 1, 1.033)


def test_an_age_is_resolved_when_a_young_version_took_over(rt, make_runtime):
    serve(rt, registered=NOW - 31 * DAY)
    add(rt, training_requests, source="manual", reason="r", state="claimed", requested_at=NOW, requested_by="ann")
    decide([SPEC], rt, RUN)
    assert rows_of(rt, signals)[0]["last_decision"].startswith("refuse:open_request")
    add(rt, candidates, version=2, verdict="pass", state="done", created_at=NOW)
    set_state(rt, desired_traffic, champion=2)
    decide([SPEC], rt, RUN)
    assert rows_of(rt, signals)[0]["state"] == "resolved"
    assert "resolved signal age:champion" in [row["act"] for row in rows_of(rt, ledger)]


def test_a_slot_that_passed_while_the_dag_was_paused_is_made_good_once(rt):
    slot = datetime.now(UTC) - timedelta(hours=1)
    spec = make_spec(retraining={"schedule": f"{slot.minute} {slot.hour} * * *"})
    assert decide([spec], rt, RUN).training_requested == []  # a new model has missed nothing
    before = datetime.now(UTC) - 3 * DAY
    old = {"source": "manual", "reason": "first", "state": "done", "requested_by": "ann", "wall_at": before}
    add(rt, training_requests, requested_at=NOW - 3 * DAY, **old)
    assert decide([spec], rt, RUN).training_requested == [MODEL]
    assert decide([spec], rt, RUN).training_requested == []
    request = rows_of(rt, training_requests)[-1]
    assert (request["source"], request["state"]) == ("schedule", "open")
    assert f"no training was requested at or since the schedule's slot of {slot:%Y-%m-%d %H:%M} UTC" in request["reason"]
    assert unclaimed(rt).training == [MODEL]


def test_a_slot_whose_run_waits_for_a_training_is_not_missed(rt):
    slot = datetime.now(UTC) - timedelta(hours=1)
    spec = make_spec(retraining={"schedule": f"{slot.minute} {slot.hour} * * *"})
    common = {"source": "signal", "reason": "r", "requested_by": "decide", "requested_at": NOW}
    add(rt, training_requests, state="done", wall_at=slot - 3 * DAY, **common)
    add(rt, training_requests, state="claimed", run_id="r1", wall_at=slot - timedelta(minutes=30), **common)
    assert decide([spec], rt, RUN).training_requested == []
    assert preview_decision(spec, rt).due == ()
    set_state(rt, training_requests, state="done")
    assert decide([spec], rt, RUN).training_requested == [MODEL]
    request = rows_of(rt, training_requests)[-1]
    assert "another training held its run back" in request["reason"]
    assert request["cause"]["slot"] == slot.replace(second=0, microsecond=0).isoformat()


def test_events_of_other_systems_become_one_decision(rt):
    serve(rt)
    first, second = event("11", cause="Tariff change!"), event("12", cause="Tariff change!", reason="again")
    assert take_events(rt, [first, second], [MODEL], actor="decide") == [MODEL]
    (signal,) = rows_of(rt, signals)
    assert (signal["kind"], signal["cause"], signal["effect"]) == ("external", "external:tariff_change", 2.0)
    assert signal["evidence"]["reason"] == "again"
    open_signal(rt)
    assert decide([SPEC], rt, RUN).training_requested == [MODEL]
    (request,) = rows_of(rt, training_requests)
    assert request["cause"]["cause"] == "decay:calibration_gap"
    assert set(request["cause"]["signals"]) == {"decay:calibration_gap", "external:tariff_change"}


def test_an_event_that_is_read_again_counts_once(rt):
    """What a paused Dag left, and what is read twice because its history is read with an overlap."""
    earlier = [event(str(number), at=datetime(2013, 1, 1, tzinfo=UTC) + number * DAY) for number in range(3)]
    assert read_from(rt) is None
    take_events(rt, earlier, [MODEL], actor="decide")
    assert read_from(rt) == datetime(2013, 1, 3, tzinfo=UTC) - timedelta(hours=1)
    assert take_events(rt, earlier, [MODEL], actor="decide") == []
    assert rows_of(rt, signals)[0]["effect"] == 3.0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "rian"}, "did you mean 'rain'"),
        ({"model": ["rain"]}, "is no model"),
        ({"reason": " "}, "a sentence that says why"),
        ({"reason": 3}, "reason: got 3"),
    ],
)
def test_an_unreadable_event_is_noted_and_hides_no_other(rt, changes, said, caplog):
    take_events(rt, [event("1", **changes), event("2")], [MODEL], actor="decide")
    assert len(rows_of(rt, signals)) == 1
    assert said in caplog.text
    with rt.engine.begin() as connection:
        outcomes = dict(connection.execute(select(deliveries.c.delivery_id, deliveries.c.outcome)).all())
    assert outcomes["1"].startswith("refused: ")
    assert outcomes["2"] == "signal external:request of rain"


def test_what_the_database_cannot_hold_stops_nobody(rt):
    take_events(rt, [event("1", reason="a\u0000b \ud800 c"), event("2")], [MODEL], actor="decide")
    (signal,) = rows_of(rt, signals)
    assert signal["effect"] == 2.0


def test_one_model_that_cannot_be_read_hides_no_other(rt):
    """A cron that lint would refuse, of a spec that was made before."""
    open_signal(rt)
    broken = SPEC.model_copy(
        update={"name": "broken", "retraining": SPEC.retraining.model_copy(update={"schedule": "0 2 31 2 *"})}
    )
    assert decide([broken, SPEC], rt, RUN).training_requested == [MODEL]


def test_a_stop_holds_back_signals_until_the_start(rt):
    open_signal(rt)
    assert set_automation(rt, MODEL, running=False, reason="audit", by="ann")
    assert not set_automation(rt, MODEL, running=False, reason="audit again", by="bob")
    assert decide([SPEC], rt, RUN).training_requested == []
    assert rows_of(rt, signals)[0]["last_decision"] == "refuse:stopped"
    assert "stopped by ann on 2013-08-01 00:00 UTC: audit" in rows_of(rt, ledger)[-1]["reason"]
    assert set_automation(rt, MODEL, running=True, reason="audit is over", by="ann")
    assert decide([SPEC], rt, RUN).training_requested == [MODEL]
    acts = [row["act"] for row in rows_of(rt, ledger)]
    assert acts.count("stop unattended training") == acts.count("start unattended training") == 1
    with pytest.raises(LifecycleError, match="a reason is asked for"):
        set_automation(rt, MODEL, running=False, reason=" ", by="ann")


def test_a_person_may_force_one_model(rt):
    open_signal(rt, windows_failed=1)
    spec = make_spec(retraining={"mode": "off", "budget_per_month": 0})
    assert decide([spec], rt, RUN).training_requested == []
    forced = Forced(by="ann", reason="the board asks")
    assert decide([spec], rt, RUN, forced=forced).training_requested == [MODEL]
    (request,) = rows_of(rt, training_requests)
    assert (request["requested_by"], request["cause"]["forced_by"]) == ("ann", "ann")
    assert request["reason"].startswith("ann forces it (the board asks): ")
    assert rows_of(rt, ledger)[-1]["evidence"]["forced_because"] == "the board asks"


def test_checking_tells_what_is_due_and_writes_nothing(rt):
    serve(rt, registered=NOW - 31 * DAY)
    preview = preview_decision(SPEC, rt)
    assert preview.decision.check
    assert preview.due == ("version 1 is 31.0d old; retraining.max_age is 30d",)
    assert rows_of(rt, signals) == []


def test_many_quiet_models_cost_a_few_queries(rt):
    from sqlalchemy import event as hooks

    specs = [SPEC.model_copy(update={"name": f"m{number}"}) for number in range(200)]
    open_signal(rt)
    asked = []
    hooks.listen(rt.engine, "before_cursor_execute", lambda *arguments: asked.append(arguments[2]))
    assert decide([*specs, SPEC], rt, RUN).training_requested == [MODEL]
    assert len(asked) < 40


def test_one_models_error_does_not_stop_the_others(rt):
    open_signal(rt)
    with rt.engine.begin() as connection:
        connection.execute(update(signals).values(evidence={"spanning_seconds": 259200}))
        connection.execute(
            insert(signals).values(
                model="other", kind="manual", cause="manual:x", effect=1, severity="act", first_seen=NOW, last_seen=NOW
            )
        )
    assert sorted(decide([SPEC, SPEC.model_copy(update={"name": "other"})], rt, RUN).training_requested) == ["other", MODEL]


def test_a_later_training_answers_what_it_knew_of(rt, make_runtime):
    serve(rt)
    take_events(rt, [event("1")], [MODEL], actor="decide")
    add(rt, training_requests, source="schedule", reason="r", state="claimed", requested_at=NOW, requested_by="x", run_id="r9")
    assert decide([SPEC], rt, RUN).training_requested == []
    later = make_runtime(FixedClock(NOW + timedelta(hours=1)))
    with later.engine.begin() as connection:
        entry = Entry(model=MODEL, kind="training", act="confirm training", reason="r", actor="x", run_id="r9")
        later.ledger.write(entry, connection)
        connection.execute(update(training_requests).values(state="done", version=2))
    last = make_runtime(FixedClock(NOW + 2 * DAY))
    take_events(last, [event("2", cause="newer")], [MODEL], actor="decide")
    assert decide([SPEC], last, RUN).training_requested == [MODEL]
    assert {row["cause"]: row["state"] for row in rows_of(rt, signals)} == {
        "external:request": "resolved",
        "external:newer": "accepted",
    }
