"""Airflow DAG `decide`: turns open signals into training requests, questions to people, or a "no, because" in the ledger."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, AssetOrTimeSchedule, Param

from modelops.assets import external_requests, new_rows, signals
from modelops.operators.decisions import DecideOperator, ListQuestionsOperator
from modelops.platform import cron, platform

with DAG(
    "decide",
    description="Decide on open signals: retrain, ask a person, alert, or wait and say why.",
    doc_md="Wakes on signals, new rows, requests of other systems, and every five minutes. Every decision and its numbers are in "
    "the ledger: `cli ledger MODEL`. With **check** it only tells what it would do.",
    schedule=AssetOrTimeSchedule(timetable=cron("*/5 * * * *"), assets=(signals() | external_requests() | new_rows())),
    params={
        "model": Param("all", type="string", title="Model", description="A model's name, or all."),
        "check": Param(False, type="boolean", title="Only tell what would be done"),
        "force": Param(
            False,
            type="boolean",
            title="Train although mode, cooldown, freeze or budget say no",
            description="For one named model, with a reason; recorded with your name.",
        ),
        "reason": Param("", type="string", title="Why it is forced"),
    },
    **platform("decision"),
):
    decide = DecideOperator(
        task_id="decide",
        model="{{ params.model }}",
        check="{{ params.check }}",
        force="{{ params.force }}",
        reason="{{ params.reason }}",
    )
    questions = ListQuestionsOperator(task_id="list_questions", trigger_rule="all_done")
    # One run per question: a person who takes three days over one model keeps nobody else waiting, and a paused Dag `ask` keeps
    # its runs queued. Runs are named by their question, so a second start is none.
    TriggerDagRunOperator.partial(task_id="ask", trigger_dag_id="ask", skip_when_already_exists=True).expand_kwargs(
        questions.output
    )
    decide >> questions
    # A run's state is that of its last tasks, and `ask` is skipped when there is no question: a failed decision must show.
    decide >> EmptyOperator(task_id="decided")
