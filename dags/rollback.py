"""Airflow DAG `rollback`: returns a model to its previous version, by a person, an alert or another system."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from modelops.operators.rollback import RollBackModelOperator
from modelops.platform import platform

with DAG(
    "rollback",
    description="Return a model's traffic and champion to its previous version.",
    doc_md="Traffic first, read back, then the alias, then the ledger. With **plan** it only tells what it would do. Alerts of "
    "Prometheus with the label `action: rollback` start it, too (docs/rollback.md).",
    schedule=None,
    params={
        "model": Param("", type="string", minLength=1, title="Model"),
        "reason": Param("", type="string", minLength=3, title="Reason", description="Stands in the ledger."),
        "reason_kind": Param(
            "incident", type="string", enum=["business", "complaint", "regulator", "incident"], title="Kind of reason"
        ),
        "to_version": Param(
            "", type="string", pattern="^[0-9]*$", title="To version", description="Empty: the previous champion."
        ),
        "leaving": Param(
            "",
            type="string",
            pattern="^[0-9]*$",
            title="Only from version",
            description="Nothing is done unless this version has traffic; alerts say it.",
        ),
        "unless_back": Param(
            False, type="boolean", title="Unless it just went back", description="Alerts that name no version ask for it."
        ),
        "plan": Param(False, type="boolean", title="Only tell what would be done"),
    },
    **{**platform("rollback"), "max_active_runs": 16},
):
    RollBackModelOperator(
        task_id="roll_back",
        model="{{ params.model }}",
        reason="{{ params.reason }}",
        reason_kind="{{ params.reason_kind }}",
        to_version="{{ params.to_version }}",
        leaving="{{ params.leaving }}",
        plan="{{ params.plan }}",
        unless_back="{{ params.unless_back }}",
    )
