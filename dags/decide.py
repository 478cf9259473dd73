"""Airflow DAG `decide`: turns open signals into training requests, or into a "no, because" in the ledger."""

from __future__ import annotations

from airflow.sdk import DAG, AssetOrTimeSchedule

from modelops.assets import signals
from modelops.operators.decisions import DecideOperator
from modelops.platform import cron, platform

with DAG(
    "decide",
    description="Decide on open signals: retrain, alert, or wait and say why.",
    doc_md="Wakes on signals and every five minutes. Every decision and its numbers are in the ledger: `cli ledger MODEL`.",
    schedule=AssetOrTimeSchedule(timetable=cron("*/5 * * * *"), assets=signals()),
    **platform("decision"),
):
    DecideOperator(task_id="decide")
