"""The Dags alerts and acknowledge as Airflow runs them: a raised alert reaches Slack, a person takes it, an unknown one fails."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.sdk.exceptions import AirflowFailException
from sqlalchemy import select

from include.lifecycle.alerting.raising import AlertNotice, raise_alert
from include.lifecycle.database import transaction
from include.lifecycle.tables import alert_messages, alerts
from modelops.operators.alerts import AnswerAlertOperator, TellAlertsOperator
from tests.dags.conftest import ROOT
from tests.dags.own_process import own_process
from tests.dags.receivers import web_server


@pytest.fixture
def overlay(tmp_path):
    (tmp_path / "overlay").mkdir()
    (tmp_path / "overlay" / "flight_delay.yaml").write_text("alerts: {owner: conn:team_slack}\n")
    return tmp_path / "overlay"


@pytest.fixture
def installation(rt, overlay, monkeypatch):
    with own_process(rt, monkeypatch, MODELOPS_OVERLAY=str(overlay)):
        yield


@pytest.fixture
def number(rt, installation):
    notice = {
        "model": "flight_delay",
        "kind": "decay",
        "severity": "P1",
        "key": "signal:decay",
        "title": "Skill is lost",
        "reason": "5 %",
    }
    with transaction(rt.engine) as connection:
        return raise_alert(connection, rt, AlertNotice.model_validate(notice), actor="test")


class DagRun:
    triggering_user_name = "ada"


def test_the_yamls_owner_is_told_through_the_connection(rt, number, monkeypatch):
    with web_server() as web:
        extra = {"conn_type": "slackwebhook", "host": web.url, "password": "/hook"}
        monkeypatch.setenv("AIRFLOW_CONN_TEAM_SLACK", json.dumps(extra))
        done = TellAlertsOperator(task_id="tell_alerts").execute({})
        again = TellAlertsOperator(task_id="tell_alerts").execute({})
        assert [body["text"] for body in web.bodies("/hook")] == ["[P1] flight_delay: Skill is lost"]
    assert (done["planned"], done["sent"], done["failed"]) == (2, 2, 0)
    assert (again["planned"], again["sent"]) == (0, 0)


def test_a_channel_that_is_missing_fails_no_task(rt, number):
    done = TellAlertsOperator(task_id="tell_alerts").execute({})
    assert done["failed"] == 1
    assert "team_slack" in done["errors"][0]
    with transaction(rt.engine) as connection:
        rows = connection.execute(select(alert_messages.c.channel, alert_messages.c.state)).all()
        states = {row.channel: row.state for row in rows}
    assert states == {"log": "sent", "owner:team_slack": "waiting"}


def test_who_starts_the_dag_has_the_alert(rt, number):
    answered = AnswerAlertOperator(task_id="answer_alert", alert=str(number), act="ack").execute({"dag_run": DagRun()})
    assert answered["told"] == "ada has it"
    with transaction(rt.engine) as connection:
        assert connection.execute(select(alerts.c.acknowledged_by)).scalar_one() == "ada"


def test_an_alert_that_is_not_there_fails_the_task(rt, installation):
    with pytest.raises(AirflowFailException, match="there is no alert 99"):
        AnswerAlertOperator(task_id="answer_alert", alert="99", act="ack").execute({"dag_run": DagRun()})


def test_the_dag_tells_people_as_a_task_of_airflow(rt, number, monkeypatch):
    """In a run, connections come from Airflow's own process, which answers the task's main thread only."""
    DagBundlesManager().sync_bundles_to_db()
    dag = DagBag(str(ROOT / "dags" / "alerts.py")).dags["alerts"]
    bag = DagBag(dag_folder=os.devnull)
    dag.fileloc, dag.relative_fileloc = __file__, Path(__file__).name  # a file of no bundle: Airflow would read all Dags anew
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)
    with web_server() as web:
        extra = {"conn_type": "slackwebhook", "host": web.url, "password": "/hook"}
        monkeypatch.setenv("AIRFLOW_CONN_TEAM_SLACK", json.dumps(extra))
        run = dag.test()
        assert str(run.state) == "success"
        assert len(web.bodies("/hook")) == 1
