"""Airflow DAG `freeze`: the kill switch from the UI and REST; `cli freeze` does the same without Airflow."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from modelops.operators.rollback import FreezeOperator
from modelops.platform import platform

with DAG(
    "freeze",
    description="Freeze training, promotion, traffic, retirement and removal for a model or for all; or end that.",
    doc_md="In force at every process's next look, within seconds. A frozen rollout still goes back when a check fails, and "
    "rollbacks work. Without Airflow: `python -m include.lifecycle.cli freeze --all --reason ...`.",
    schedule=None,
    params={
        "model": Param("", type="string", minLength=1, title="Model", description="A model's name, or all."),
        "act": Param("freeze", type="string", enum=["freeze", "unfreeze"], title="Act"),
        "reason": Param("", type="string", minLength=3, title="Reason", description="Stands in the ledger."),
        "return_traffic": Param(False, type="boolean", title="End open rollouts, too", description="Champions get all traffic."),
    },
    **{**platform("rollback"), "max_active_runs": 16},
):
    FreezeOperator(
        task_id="freeze",
        model="{{ params.model }}",
        act="{{ params.act }}",
        reason="{{ params.reason }}",
        return_traffic="{{ params.return_traffic }}",
    )
