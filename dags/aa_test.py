"""Airflow DAG `aa_test`: serves a model's champion twice and shows that nothing differs, by a person or another system."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from modelops.operators.experiments import ConcludeAaTestOperator, PlanAaTestOperator
from modelops.operators.rollout import RollOutVersionOperator
from modelops.platform import platform

with DAG(
    "aa_test",
    description="Test a model's champion against itself: split, log, labels and statistics on trial.",
    doc_md="A second server of the champion's version gets `rollout.ab_test.split` of the sticky keys. Any difference is noise "
    "or a fault; the run is red when one is found. Nothing is promoted. docs/ab-tests.md tells how to read the report.",
    schedule=None,
    params={
        "model": Param("", type="string", minLength=1, title="Model"),
        "reason": Param("", type="string", minLength=3, title="Reason", description="Stands in the ledger."),
    },
    **{**platform("deployment"), "max_active_runs": 16},
):
    planned = PlanAaTestOperator(task_id="plan_aa_test", model="{{ params.model }}", reason="{{ params.reason }}").output
    roll_out = RollOutVersionOperator(task_id="roll_out", model="{{ params.model }}", planned=planned, poll=1.0)
    ConcludeAaTestOperator(task_id="conclude_aa_test", model="{{ params.model }}", outcome=roll_out.output)
