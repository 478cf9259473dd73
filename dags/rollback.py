"""Airflow DAG `rollback`: returns a model to its previous version, by a person, an alert or another system."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from modelops.operators.rollout import RollBackModelOperator
from modelops.platform import platform

with DAG(
    "rollback",
    description="Return a model's traffic and champion to its previous version.",
    doc_md="Traffic first, read back, then the alias, then the ledger. Reasons: business, complaint, regulator, incident.",
    schedule=None,
    params={
        "model": Param("", type="string", minLength=1, title="Model"),
        "reason": Param("", type="string", minLength=3, title="Reason", description="Stands in the ledger."),
        "to_version": Param(
            "", type="string", pattern="^[0-9]*$", title="To version", description="Empty: the previous champion."
        ),
    },
    **{**platform("rollback"), "max_active_runs": 16},
):
    RollBackModelOperator(
        task_id="roll_back",
        model="{{ params.model }}",
        reason="{{ params.reason }}",
        to_version="{{ params.to_version }}",
    )
