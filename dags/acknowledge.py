"""Airflow DAG `acknowledge`: a person takes an alert, or ends it, from the UI or REST; `cli alerts ack` needs no Airflow."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from modelops.operators.alerts import AnswerAlertOperator
from modelops.platform import platform

with DAG(
    "acknowledge",
    description="Take an alert, so that nobody else is called, or end it.",
    doc_md="Numbers stand in each message and in `cli alerts list`. All alerts of the incident are taken; a finding that "
    "still stands is raised anew after it was ended. Who may start this Dag may also `POST /modelops/v1/alerts/N/ack`.",
    schedule=None,
    params={
        "alert": Param(0, type="integer", minimum=1, title="Number of the alert"),
        "act": Param("ack", type="string", enum=["ack", "resolve"], title="Act"),
        "reason": Param("", type="string", title="Reason", description="Stands in the ledger; resolve asks for one."),
    },
    **{**platform("alerts"), "max_active_runs": 16},
):
    AnswerAlertOperator(task_id="answer_alert", alert="{{ params.alert }}", act="{{ params.act }}", reason="{{ params.reason }}")
