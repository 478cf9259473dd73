"""Airflow DAG `upkeep`: reconciles rollouts, sweeps rows that nobody claimed and old alerts, compacts the log."""

from __future__ import annotations

from airflow.sdk import DAG

from modelops.operators.upkeep import CompactPredictionsOperator, ReconcileOperator, SweepOperator
from modelops.platform import cron, platform

with DAG(
    "upkeep",
    description="Put right what was left behind, every five minutes.",
    doc_md="Facts are rows: what an event did not wake, this does. Rollouts whose driver died go on here.",
    schedule=cron("*/5 * * * *"),
    **platform("upkeep"),
):
    ReconcileOperator(task_id="reconcile")
    SweepOperator(task_id="sweep")
    CompactPredictionsOperator(task_id="compact_predictions")
