"""Alerts reach people: Slack, PagerDuty, e-mail and Apprise on real endpoints; a channel that hangs keeps nobody waiting."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk import BaseHook
from airflow.utils.db import initdb
from sqlalchemy import select, update

from include.lifecycle.alerting.answering import answer_alert
from include.lifecycle.alerting.policy import default_policy
from include.lifecycle.alerting.raising import AlertNotice, raise_alert, resolve_alert
from include.lifecycle.alerting.telling import tell_alerts
from include.lifecycle.database import transaction
from include.lifecycle.sections.alerts import AlertsSection
from include.lifecycle.tables import alert_messages, alerts
from modelops.notifiers.channels import send_parcels
from tests.dags.receivers import mail_server, silent_server, web_server

WALL = datetime.now(UTC) + timedelta(seconds=1)
NUMBERS = {"effect": 0.0712345, "rows": 5210, "windows_failed": 3}


@pytest.fixture(scope="module", autouse=True)
def airflow_database():
    initdb()


@pytest.fixture
def web():
    with web_server() as server:
        yield server


@pytest.fixture
def connections(monkeypatch):
    def add(conn_id, **fields):
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

    return add


@pytest.fixture
def raised(rt):
    def notify(**changes):
        told = {"model": "churn", "kind": "decay", "severity": "P0", "key": "signal:decay:roc_auc"}
        told |= {
            "title": "Performance is lost",
            "reason": "skill 0.31 against 0.40 <b>&</b>",
            "evidence": NUMBERS,
            "source": "churn/model",
        }
        with transaction(rt.engine) as connection:
            return raise_alert(connection, rt, AlertNotice.model_validate(told | changes), actor="test")

    return notify


def policy(rt, **changes):
    plain = default_policy(rt.settings).model_dump(mode="json")
    channels = {"on_call": {medium: f"conn:{medium}_a" for medium in changes.pop("media")}}
    return AlertsSection.model_validate(plain | {"channels": channels} | changes)


def tell(rt, wanted, wall=WALL):
    return tell_alerts(rt, send_parcels, policies=lambda _: wanted, wall=wall)


def test_pagerduty_gets_trigger_acknowledge_and_resolve_under_one_key(rt, web, connections, raised):
    connections("pagerduty_a", conn_type="pagerduty_events", password="integration-key", host=web.url)
    wanted = policy(rt, media=["pagerduty"], runbooks="https://wiki.example/runbooks")
    number = raised()
    assert tell(rt, wanted).failed == 0
    answer_alert(rt, number, "ack", by="ada", reason="")
    tell(rt, wanted)
    with transaction(rt.engine) as connection:
        resolve_alert(connection, rt, "churn", "signal:decay:roc_auc", "healthy again", actor="test")
    tell(rt, wanted)
    events = web.bodies("/v2/enqueue")
    assert [event["event_action"] for event in events] == ["trigger", "acknowledge", "resolve"]
    assert len({event["dedup_key"] for event in events}) == 1
    first = events[0]
    assert first["routing_key"] == "integration-key"
    assert first["payload"]["severity"] == "critical"
    assert first["payload"]["summary"] == "[P0] churn: Performance is lost"
    assert first["payload"]["source"] == "modelops/churn"
    assert first["payload"]["custom_details"]["effect"] == 0.07123
    assert first["links"] == [{"href": "https://wiki.example/runbooks#alert-decay", "text": "Runbook"}]


def test_slack_gets_blocks_and_no_markup_of_ours(rt, web, connections, raised):
    connections("slack_a", conn_type="slackwebhook", host=web.url, password="/services/T0/B0/secret")
    raised(severity="P2")
    assert tell(rt, policy(rt, media=["slack"])).sent == 2  # the log, too
    (body,) = web.bodies("/services/T0/B0/secret")
    assert body["text"] == "[P2] churn: Performance is lost"
    assert [block["type"] for block in body["blocks"]] == ["header", "section", "section", "context"]
    assert body["blocks"][1]["text"]["text"] == "skill 0.31 against 0.40 &lt;b&gt;&amp;&lt;/b&gt;"
    assert "*rows* 5210" in body["blocks"][2]["text"]["text"]
    assert "docs/runbooks.md#alert-decay" in body["blocks"][3]["elements"][0]["text"]


def test_mail_is_html_with_a_subject_to_everybody_of_the_connection(rt, connections, raised):
    with mail_server() as (mailbox, port):
        extra = {"from_email": "modelops@example.org", "to": ["ada@example.org", "bob@example.org"], "disable_tls": True}
        connections("email_a", conn_type="smtp", host="127.0.0.1", port=port, extra=extra | {"disable_ssl": True})
        raised(severity="P1")
        assert tell(rt, policy(rt, media=["email"])).errors == ()
        ((to, mail),) = mailbox.got
    assert to == ["ada@example.org", "bob@example.org"]
    assert mail["Subject"] == "[P1] churn: Performance is lost"
    assert mail["References"].startswith("<modelops-incident-")
    html = mail.get_payload()[0].get_payload(decode=True).decode()
    assert "skill 0.31 against 0.40 &lt;b&gt;&amp;&lt;/b&gt;" in html
    assert "runbooks.md#alert-decay" in html


def test_sms_and_phone_go_through_apprise_in_few_words(rt, web, connections, raised):
    config = {"path": web.url.replace("http://", "json://") + "/gateway"}
    connections("sms_a", conn_type="apprise", extra={"config": config})
    connections("phone_a", conn_type="apprise", extra={"config": [config]})
    raised()
    assert tell(rt, policy(rt, media=["sms", "phone"])).errors == ()
    bodies = web.bodies("/gateway")
    assert len(bodies) == 2
    assert {body["title"] for body in bodies} == {"[P0] churn: Performance is lost"}
    assert {body["message"] for body in bodies} == {"skill 0.31 against 0.40 <b>&</b>"}
    assert {body["type"] for body in bodies} == {"failure"}


def test_what_apprise_could_not_send_is_tried_again(rt, web, connections, raised):
    connections("sms_a", conn_type="apprise", extra={"config": {"path": web.url.replace("http://", "json://")}})
    raised()
    web.status = 500
    wanted = policy(rt, media=["sms"])
    assert "did not take the message" in tell(rt, wanted).errors[0]
    web.status = 200
    assert tell(rt, wanted).sent == 0  # its pause is not over
    assert tell(rt, wanted, WALL + timedelta(minutes=1)).sent == 1


def test_a_channel_that_hangs_keeps_no_other_waiting_and_becomes_an_alert(rt, web, connections, raised):
    connections("pagerduty_a", conn_type="pagerduty_events", password="integration-key", host=web.url)
    short = {"timeout": "1s", "attempts": 2, "backoff": "1s"}
    with silent_server() as port:
        connections("slack_a", conn_type="slackwebhook", host=f"http://127.0.0.1:{port}", password="/x")
        connections(
            "email_a",
            conn_type="smtp",
            host="127.0.0.1",
            port=port,
            extra={"to": "a@b.c", "disable_tls": True, "disable_ssl": True},
        )
        wanted = policy(
            rt,
            media=["pagerduty", "slack", "email"],
            routes={severity: ["pagerduty", "slack", "email"] for severity in ("P0", "P1", "P2", "P3")},
            delivery=short,
        )
        raised()
        started = time.monotonic()
        assert tell(rt, wanted).failed == 2
        assert time.monotonic() - started < 4
        assert len(web.bodies("/v2/enqueue")) == 1
        last = tell(rt, wanted, WALL + timedelta(minutes=1))
    assert last.failed >= 2
    with transaction(rt.engine) as connection:
        failed = connection.execute(select(alerts.c.key, alerts.c.reason).where(alerts.c.kind == "delivery_failed")).all()
    assert {row.key for row in failed} == {"delivery:slack:slack_a", "delivery:email:email_a"}
    assert "2 attempts failed" in failed[0].reason
    assert [event["payload"]["summary"] for event in web.bodies("/v2/enqueue")][1:] == [
        "[P1] churn: An alert channel does not work"
    ] * 2


def test_a_connection_that_is_not_there_or_tells_nobody_is_said_so(rt, connections, raised):
    connections("email_a", conn_type="postgres", host="db")
    raised(severity="P1")
    told = tell(rt, policy(rt, media=["email", "slack"]))
    assert any("has type 'postgres'; alerts need one of slackwebhook" in error for error in told.errors)
    assert any("slack:slack_a: " in error and "slack_a" in error for error in told.errors)


def test_a_secrets_backend_that_breaks_keeps_no_other_channel_waiting(rt, web, connections, raised, monkeypatch):
    connections("pagerduty_a", conn_type="pagerduty_events", password="integration-key", host=web.url)
    read = BaseHook.get_connection

    def breaks(conn_id):
        if conn_id == "sms_a":
            raise OSError("the vault is sealed")
        return read(conn_id)

    monkeypatch.setattr(BaseHook, "get_connection", breaks)
    raised()
    assert tell(rt, policy(rt, media=["sms", "pagerduty"])).errors == ("sms:sms_a: OSError: the vault is sealed",)
    assert len(web.bodies("/v2/enqueue")) == 1


def test_no_secret_is_told(rt, web, connections, raised):
    connections("slack_a", conn_type="slackwebhook", host=web.url, password="/services/T0/B0/secret-part")
    web.status = 404
    raised(severity="P2")
    tell(rt, policy(rt, media=["slack"]))
    with transaction(rt.engine) as connection:
        (error,) = connection.execute(select(alert_messages.c.error).where(alert_messages.c.channel != "log")).scalars()
    assert "404" in error
    assert "secret-part" not in error


def test_a_sender_that_died_leaves_its_claim_to_lapse(rt, web, connections, raised):
    connections("slack_a", conn_type="slackwebhook", host=web.url, password="/x")
    raised(severity="P3")
    wanted = policy(rt, media=["slack"])

    def dies(parcels):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tell_alerts(rt, dies, policies=lambda _: wanted, wall=WALL)
    assert tell(rt, wanted).sent == 0
    assert tell(rt, wanted, WALL + timedelta(minutes=5)).sent == 2
    assert len(web.bodies("/x")) == 1
    with transaction(rt.engine) as connection:
        assert (
            connection.execute(update(alert_messages).where(alert_messages.c.state != "sent").values(state="sent")).rowcount == 0
        )
