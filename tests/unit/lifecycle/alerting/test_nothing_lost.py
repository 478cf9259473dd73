"""Alerts that must not get lost: a channel that was down, a storm before a P0, people of other models, a clock that goes on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import insert, select, text

from include.lifecycle.alerting.answering import answer_alert
from include.lifecycle.alerting.outbox import Parcel, settle
from include.lifecycle.alerting.raising import raise_alert, resolve_alert
from include.lifecycle.alerting.telling import tell_alerts
from include.lifecycle.database import lock_model, transaction
from include.lifecycle.loading import load_model
from include.lifecycle.runtime import RunContext
from include.lifecycle.tables import alert_messages, alerts, training_requests
from include.lifecycle.training import failure
from tests.conftest import NOW
from tests.unit.lifecycle.alerting.conftest import WALL, Desk, make_policy

TRIED = (0, 31, 92, 213, 454)  # seconds at which the five attempts are made
OWNER = {"channels": {}, "owner": "conn:team"}


def _fails_until_given_up(desk):
    desk.error = "refused"
    for seconds in TRIED:
        desk.tell(timedelta(seconds=seconds))
    desk.error = None


def test_a_channel_that_was_down_for_long_is_told_what_still_stands(rt):
    desk = Desk(rt, make_policy(rt, **OWNER))
    desk.raised(severity="P0")
    desk.raised(severity="P2", key="over", source="other")
    _fails_until_given_up(desk)
    desk.resolved("over")
    told = [(channel, message.event, message.severity) for channel, message in desk.tell(timedelta(minutes=40))]
    assert ("owner:team", "raised", "P0") in told
    assert ("owner:team", "raised", "P2") not in told
    assert {row["state"] for row in desk.messages() if row["event"] == "raised"} == {"sent", "failed"}
    assert "raised" not in {message.event for _, message in desk.tell(timedelta(minutes=90))}


def test_what_somebody_has_is_not_tried_again(rt):
    desk = Desk(rt, make_policy(rt, **OWNER))
    number = desk.raised(severity="P0")
    _fails_until_given_up(desk)
    answer_alert(rt, number, "ack", by="ada", reason="")
    assert "raised" not in {message.event for _, message in desk.tell(timedelta(minutes=40))}


def test_a_p0_does_not_wait_for_the_end_of_a_storm(rt):
    desk = Desk(rt, make_policy(rt, **OWNER))
    for index in range(6):
        desk.raised(severity="P3", key=f"k{index}", source=f"s{index}")
        desk.tell()
    assert len(desk.sent) == 5
    for index in range(3):
        desk.raised(severity="P0", key=f"urgent{index}", source=f"t{index}")
    ((channel, message),) = desk.tell(timedelta(minutes=1))
    assert (channel, message.severity, message.title) == ("owner:team", "P0", "3 alerts")
    assert desk.tell(timedelta(minutes=2)) == []
    assert [message.severity for _, message in desk.tell(timedelta(minutes=12))] == ["P3"]


def test_thousands_that_wait_for_one_channel_keep_no_p0_of_another_waiting(rt):
    desk = Desk(rt, make_policy(rt, storm={"messages": 1, "within": "10m"}))
    first = desk.raised(severity="P3")
    desk.tell()
    rows = [{"alert_id": first, "channel": "slack:team", "event": "escalated", "level": level} for level in range(2500)]
    with transaction(rt.engine) as connection:
        connection.execute(insert(alert_messages).values(rows))
    desk.raised(severity="P0", key="urgent", source="other")
    assert {channel for channel, _ in desk.tell(timedelta(minutes=1))} == {"phone:call", "sms:text", "pagerduty:pager"}


def test_a_folded_message_names_the_most_urgent_in_its_first_words(rt):
    desk = Desk(rt, make_policy(rt))
    for index in range(10):
        desk.raised(severity="P0", key=f"k{index}", source=f"s{index}", title="The model is down")
    (call,) = [message for channel, message in desk.tell() if channel == "phone:call"]
    assert "[P0] churn: The model is down" in call.reason


def test_people_of_another_model_are_told_of_a_shared_incident_too(rt):
    sent = []

    def policies(model):
        return make_policy(rt, owner=f"conn:{model}_team")

    def send(parcels):
        sent.extend(parcel.channel for parcel in parcels)
        return [None] * len(parcels)

    desk = Desk(rt, policies("churn"))
    for model in ("churn", "fraud"):
        desk.raised(model=model, severity="P1", kind="data_fault", source="connection:feed")
        tell_alerts(rt, send, policies=policies, wall=WALL)
    assert sent.count("owner:churn_team") == sent.count("owner:fraud_team") == 1
    assert sent.count("slack:team") == 1


def test_a_less_urgent_alert_that_somebody_has_does_not_stop_the_clock_of_a_p0(desk):
    small = desk.raised(severity="P2", key="small")
    desk.tell()
    answer_alert(desk.rt, small, "ack", by="ada", reason="")
    desk.raised(severity="P0", key="a")
    desk.tell()
    second = desk.raised(severity="P0", key="b")
    desk.tell()
    desk.resolved("a")
    desk.tell()
    assert desk.row(second)["escalate_wall_at"] is not None
    assert "phone:senior_call" in {channel for channel, _ in desk.tell(timedelta(minutes=16))}


def test_a_folded_message_that_failed_for_good_is_an_alert_whichever_of_its_rows_was_tried_last(desk):
    old, new = desk.raised(key="old"), desk.raised(key="new", source="other")
    with transaction(desk.rt.engine) as connection:
        rows = [
            {"alert_id": number, "channel": "slack:team", "event": "raised", "attempts": attempts}
            for number, attempts in ((new, 0), (old, 4))
        ]
        found = connection.execute(insert(alert_messages).values(rows).returning(alert_messages)).mappings().all()
    told = {"model": "churn", "kind": "decay", "title": "Skill is lost"}
    parcel = Parcel("slack:team", None, tuple(dict(row) | told for row in found), desk.policy)
    settle(desk.rt, parcel, "refused", WALL)
    assert "delivery:slack:team" in {entry["evidence"]["key"] for entry in desk.rt.ledger.read("churn", kind="alert")}


def test_a_title_of_several_lines_is_a_subject_of_one(desk):
    desk.raised(severity="P3", title="disk\nis  full")
    ((_, message),) = desk.tell()
    assert message.subject == "[P3] churn: disk is full"


def test_a_failed_training_is_told_of_and_closed_together_or_not_at_all(rt, monkeypatch):
    spec, run = load_model("flight_delay"), RunContext("flight_delay", "run-1", "report")
    request = {"model": spec.name, "source": "manual", "reason": "a", "requested_at": NOW, "requested_by": "ada"}
    with transaction(rt.engine) as connection:
        connection.execute(insert(training_requests).values(request | {"state": "claimed", "run_id": "run-1"}))
    monkeypatch.setattr(failure, "_champion", lambda *_: (1, "Version 1 keeps serving."))

    def state():
        with transaction(rt.engine) as connection:
            told = connection.execute(select(alerts.c.id)).scalars().all()
            return connection.execute(select(training_requests.c.state)).scalar_one(), len(told)

    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(failure, "tell_event", _killed)
        failure.report_failure(spec, rt, run, {"tune": "out of memory"}, None)
    assert state() == ("claimed", 0)
    failure.report_failure(spec, rt, run, {"tune": "out of memory"}, None)
    assert state() == ("failed", 1)


def _killed(*_, **__):
    raise KeyboardInterrupt


def test_an_alert_waits_for_nobody_who_acts_on_its_model(desk):
    """A promotion holds the model's lock as long as MLflow takes to answer."""
    with transaction(desk.rt.engine) as acting:
        lock_model(acting, "churn")
        with transaction(desk.rt.engine) as connection:
            connection.execute(text("SET LOCAL lock_timeout = '2s'"))
            number = raise_alert(connection, desk.rt, desk.notice(severity="P0"), actor="test")
        assert len(desk.tell()) == 3
        with transaction(desk.rt.engine) as connection:
            connection.execute(text("SET LOCAL lock_timeout = '2s'"))
            assert resolve_alert(connection, desk.rt, "churn", "signal:decay", "healthy", actor="test") == number
