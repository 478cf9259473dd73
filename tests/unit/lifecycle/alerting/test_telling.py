"""Who is told of what, and how often: routes, incidents, escalation, answers, storms; on a real database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select

from include.lifecycle.alerting.answering import answer_alert
from include.lifecycle.alerting.outbox import claim
from include.lifecycle.alerting.planning import plan_messages
from include.lifecycle.clock import FixedClock
from include.lifecycle.database import transaction
from include.lifecycle.errors import GateFailedError
from include.lifecycle.ledger import Entry
from include.lifecycle.tables import incidents
from tests.conftest import NOW
from tests.unit.lifecycle.alerting.conftest import WALL, Desk, make_policy

ROUTES = [
    ("P0", {"phone:call", "sms:text", "pagerduty:pager"}),
    ("P1", {"sms:text", "email:mail", "slack:team"}),
    ("P2", {"email:mail", "slack:team"}),
    ("P3", {"slack:team"}),
]


def channels(sent):
    return {channel for channel, _ in sent}


@pytest.mark.parametrize(("severity", "told"), ROUTES)
def test_each_severity_goes_its_way_once(desk, severity, told):
    desk.raised(severity=severity)
    sent = desk.tell()
    assert channels(sent) == told
    assert len(sent) == len(told)
    assert desk.tell() == []


def test_without_any_channel_the_log_is_told(rt):
    desk = Desk(rt, make_policy(rt, channels={}))
    desk.raised(severity="P0")
    assert desk.tell() == []
    assert [(row["channel"], row["state"]) for row in desk.messages()] == [("log", "sent")]


def test_the_owner_is_told_of_everything_and_not_twice(rt):
    desk = Desk(rt, make_policy(rt, channels={}, owner="conn:team"))
    desk.raised(severity="P0")
    assert channels(desk.tell()) == {"owner:team"}
    both = Desk(rt, make_policy(rt, owner="conn:team"))
    both.raised(severity="P3", model="fraud", source="fraud/model")
    assert channels(both.tell()) == {"slack:team"}


def test_a_thousand_equal_alerts_are_one_message(desk):
    for _ in range(1000):
        number = desk.raised(severity="P3")
    sent = desk.tell()
    assert [(channel, message.count) for channel, message in sent] == [("slack:team", 1000)]
    assert desk.row(number)["count"] == 1000


def test_alerts_of_one_source_are_one_incident_of_many_models(desk):
    for index in range(40):
        desk.raised(model=f"model_{index}", severity="P1", source="connection:feed", kind="data_fault")
    assert len(desk.tell()) == 3
    with transaction(desk.rt.engine) as connection:
        assert connection.execute(select(incidents.c.id)).scalars().all() == [1]


def test_a_storm_of_different_alerts_is_told_together(desk):
    for index in range(1000):
        desk.raised(model=f"model_{index}", severity="P3", source=f"model_{index}/model")
    ((channel, message),) = desk.tell()
    assert channel == "slack:team"
    assert message.title == "1000 alerts"
    assert message.lines[-1] == "and 980 more"
    assert len(message.lines) == 21
    assert all(row["state"] == "sent" for row in desk.messages())


def test_beyond_the_bound_messages_wait_and_go_together(rt):
    desk = Desk(rt, make_policy(rt, storm={"messages": 2, "within": "10m"}))
    for index in range(4):
        desk.raised(severity="P3", key=f"k{index}", source=f"s{index}")
        desk.tell(timedelta(minutes=index))
    assert [message.title for _, message in desk.sent] == ["Skill is lost"] * 2
    (late,) = desk.tell(timedelta(minutes=10, seconds=30))
    assert late[1].title == "2 alerts"


def test_two_hours_of_event_time_part_incidents(make_runtime):
    numbers = []
    for minutes in (0, 100, 260):
        desk = Desk(rt := make_runtime(clock=FixedClock(NOW + timedelta(minutes=minutes))), make_policy(rt))
        numbers.append(desk.raised(key=f"k{minutes}", severity="P3"))
        desk.tell()
    found = [desk.row(number)["incident_id"] for number in numbers]
    assert found[0] == found[1] != found[2]


def test_a_worse_alert_of_a_told_incident_is_told(desk):
    desk.raised(severity="P2", key="a")
    desk.tell()
    desk.raised(severity="P2", key="b")
    assert desk.tell() == []
    desk.raised(severity="P0", key="b")
    assert channels(desk.tell()) == ROUTES[0][1]


def test_it_goes_up_the_chain_by_time_and_stops_at_an_answer(desk):
    number = desk.raised(severity="P0")
    desk.tell()
    assert desk.tell(timedelta(minutes=14)) == []
    assert channels(desk.tell(timedelta(minutes=16))) == {"phone:senior_call"}
    assert desk.row(number)["level"] == 1
    (head,) = desk.tell(timedelta(minutes=32))
    assert head[0] == "email:head_mail"  # who has none of the severity's media is told by what there is
    assert head[1].event == "escalated"
    answer_alert(desk.rt, number, "ack", by="ada", reason="on it")
    told = desk.tell(timedelta(minutes=33))
    assert channels(told) == {"pagerduty:pager", "email:head_mail"}
    assert {message.event for _, message in told} == {"acknowledged"}
    assert desk.tell(timedelta(hours=5)) == []
    acts = [entry["act"] for entry in desk.rt.ledger.read("churn", kind="alert")]
    assert acts == ["acknowledge alert", "escalate to head", "escalate to senior", "raise alert"]


def test_the_chain_ends_and_the_ledger_says_so(desk):
    number = desk.raised(severity="P2")
    for hours in (0, 5, 10, 15):
        desk.tell(timedelta(hours=hours))
    assert desk.row(number)["escalate_wall_at"] is None
    assert next(entry["act"] for entry in desk.rt.ledger.read("churn", kind="alert")) == "nobody is left to escalate to"


def test_who_was_told_hears_when_all_of_it_is_over_but_is_not_called(desk):
    desk.raised(severity="P0", key="a")
    desk.tell()
    desk.raised(severity="P1", key="b")
    desk.tell()
    desk.resolved("a")
    assert desk.tell() == []
    desk.resolved("b")
    over = desk.tell()
    assert channels(over) == {"pagerduty:pager", "sms:text"}
    assert {message.over for _, message in over} == {True}
    assert over[0][1].link.endswith("/modelops/v1/models/churn/reports/incident-1.html")
    assert desk.told.pages == ("incident-1.html",)
    page = (desk.rt.storage.reports("churn") / "incident-1.html").read_text()
    assert "Skill is lost" in page
    assert "phone:call" in page


def test_when_the_told_alert_is_over_another_one_of_the_incident_is_escalated(desk):
    desk.raised(severity="P0", key="a")
    desk.tell()
    second = desk.raised(severity="P0", key="b")
    desk.tell()
    desk.resolved("a")
    desk.tell()
    assert desk.row(second)["escalate_wall_at"] is not None
    assert channels(desk.tell(timedelta(minutes=16))) == {"phone:senior_call"}


def test_what_comes_back_within_the_time_is_the_same_incident_and_told_again(desk):
    first = desk.raised(severity="P3")
    desk.tell()
    desk.resolved()
    desk.tell()
    second = desk.raised(severity="P3")
    assert [message.event for _, message in desk.tell()] == ["raised"]
    assert desk.row(first)["incident_id"] == desk.row(second)["incident_id"]
    desk.resolved()
    assert [message.event for _, message in desk.tell()] == ["resolved"]


def test_an_answer_takes_the_whole_incident_and_a_second_one_changes_nothing(desk):
    one, two = desk.raised(key="a"), desk.raised(key="b")
    desk.tell()
    taken = answer_alert(desk.rt, two, "ack", by="ada", reason="")
    assert taken.alerts == [one, two]
    again = answer_alert(desk.rt, one, "ack", by="bob", reason="")
    assert (again.alerts, again.told) == ([], "ada has it already")
    ended = answer_alert(desk.rt, one, "resolve", by="bob", reason="a false alarm")
    assert (ended.state, ended.alerts) == ("resolved", [one])
    assert answer_alert(desk.rt, one, "resolve", by="bob", reason="once more").told == f"alert {one} is over already"
    assert desk.row(two)["state"] == "acknowledged"


@pytest.mark.parametrize(("act", "reason", "told"), [("resolve", "", "says why"), ("mute", "x", "allowed: ack, resolve")])
def test_answers_that_are_refused(desk, act, reason, told):
    with pytest.raises(GateFailedError, match=told):
        answer_alert(desk.rt, desk.raised(), act, by="ada", reason=reason)
    with pytest.raises(GateFailedError, match="there is no alert 99"):
        answer_alert(desk.rt, 99, "ack", by="ada", reason="")


def test_what_was_over_before_anybody_was_told_is_not_told(desk):
    desk.raised()
    desk.resolved()
    assert desk.tell() == []
    assert desk.messages() == []


def test_a_channel_that_fails_is_tried_with_growing_pauses_then_told_by_others(desk):
    desk.raised(severity="P3")
    desk.error = "refused"
    pauses = (0, 31, 92, 213, 454)
    for seconds in pauses:
        desk.tell(timedelta(seconds=seconds))
    (message,) = [row for row in desk.messages() if row["channel"] == "slack:team" and row["event"] == "raised"]
    assert (message["state"], message["attempts"], message["error"]) == ("failed", 5, "refused")
    desk.error = None
    sent = desk.tell(timedelta(minutes=12))
    assert channels(sent) == {"sms:text", "email:mail"}  # a P1 by all of its media but the one that fails
    desk.raised(severity="P3", key="next", source="another")
    desk.tell(timedelta(minutes=30))
    desk.tell(timedelta(minutes=30))
    standing = [entry["act"] for entry in desk.rt.ledger.read("churn", kind="alert", limit=1)]
    assert standing == ["resolve alert"]


def test_two_lookers_claim_each_message_once(desk):
    desk.raised(severity="P0")
    plan_messages(desk.rt, lambda _: desk.policy, WALL)
    first, second = (claim(desk.rt, lambda _: desk.policy, WALL) for _ in range(2))
    assert len(first) == 4
    assert second == []


def test_planning_again_plans_nothing(desk):
    desk.raised(severity="P0")
    assert plan_messages(desk.rt, lambda _: desk.policy, WALL).messages == 4
    assert plan_messages(desk.rt, lambda _: desk.policy, WALL).messages == 0


def test_the_page_that_a_dead_process_left_unwritten_is_written_by_the_next_look(desk):
    desk.raised(severity="P1")
    desk.tell()
    desk.resolved()
    plan_messages(desk.rt, lambda _: desk.policy, WALL)  # and dies before it writes
    assert not desk.rt.storage.reports("churn").exists()
    desk.tell()
    assert desk.told.pages == ("incident-1.html",)
    desk.tell()
    assert desk.told.pages == ()


def test_the_timeline_tells_what_was_seen_told_answered_and_decided(desk):
    number = desk.raised(severity="P1", reason="5 % <lost>")
    desk.tell()
    entry = Entry(
        model="churn", kind="decision", act="retrain on decay", reason="confirmed in 3 of 5 windows", actor="airflow:decide"
    )
    desk.rt.ledger.write(entry)
    answer_alert(desk.rt, number, "ack", by="ada", reason="on it")
    desk.resolved()
    desk.tell()
    page = (desk.rt.storage.reports("churn") / "incident-1.html").read_text()
    wanted = ("5 % &lt;lost&gt;", "raised sent", "sms:text", "ada has it: on it", "decision: retrain on decay", "answered after")
    assert [words for words in wanted if words not in page] == []
    assert page.index("alert 1 raised") < page.index("decision: retrain") < page.index("ada has it")


def test_equal_alerts_of_many_processes_are_one_row(desk):
    with ThreadPoolExecutor(5) as pool:
        found = set(pool.map(lambda _: desk.raised(), range(20)))
    assert len(found) == 1
    assert desk.row(found.pop())["count"] == 20


def test_pagerduty_is_not_folded(desk):
    for index in range(60):
        desk.raised(model=f"m{index}", severity="P0", source=f"m{index}/model")
    sent = desk.tell()
    assert len([channel for channel, _ in sent if channel == "pagerduty:pager"]) == 60
    assert len([channel for channel, _ in sent if channel == "phone:call"]) == 1
