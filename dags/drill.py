"""Airflow DAG `drill`: once a month it breaks a scratch model's canary on purpose and measures how the traffic comes back."""

from __future__ import annotations

from airflow.sdk import DAG

from modelops.operators.rollback import RunDrillOperator
from modelops.platform import cron, platform

with DAG(
    "drill",
    description="Show that a rollback works: detection, decision, traffic, recovery, and the age of the newest backup.",
    doc_md="Works on a scratch model of its own with real servers and the real gateway; no model's traffic is touched, nothing "
    "is left behind. Figures: the ledger, or `python -m include.lifecycle.cli drill --last`. Page: docs/rollback.md.",
    schedule=cron("0 5 1 * *"),
    **platform("rollback"),
):
    RunDrillOperator(task_id="run_drill")
