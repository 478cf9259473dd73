"""Airflow DAG `backup`: once a day all versions, the ledger and the configuration as plain files in MODELOPS_BACKUP_DIR."""

from __future__ import annotations

from airflow.sdk import DAG

from modelops.operators.rollback import BackUpOperator
from modelops.platform import cron, platform

with DAG(
    "backup",
    description="Back up versions, ledger and configuration as plain files.",
    doc_md="What is whole there already is not fetched again. Check and restore: "
    "`python -m include.lifecycle.cli backup --check`, `--restore`. Its age is the recovery point that the Dag `drill` measures.",
    schedule=cron("15 2 * * *"),
    **platform("registry"),
):
    BackUpOperator(task_id="back_up")
