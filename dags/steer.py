"""Airflow DAG `steer`: a person pauses, resumes, skips, aborts or concludes a model's open rollout, from the UI or REST."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from modelops.operators.steering import SteerRolloutOperator
from modelops.platform import platform

with DAG(
    "steer",
    description="Pause, resume, skip a stage of, abort or conclude a model's rollout.",
    doc_md="Written into the rollout's row; its driver takes it up within a second or two. A paused rollout still goes back "
    "when a check fails. Who asked, and why, stands in the ledger. The same without Airflow: "
    "`python -m include.lifecycle.cli rollout MODEL pause --reason ...`.",
    schedule=None,
    params={
        "model": Param("", type="string", minLength=1, title="Model"),
        "command": Param(
            "pause",
            type="string",
            enum=["pause", "resume", "skip", "abort", "conclude"],
            title="Command",
            description="skip: leave this stage now; abort: all traffic back to the champion; conclude: end an A/B test.",
        ),
        "reason": Param("", type="string", minLength=3, title="Reason", description="Stands in the ledger."),
        "winner": Param(
            None,
            type=["null", "string"],
            enum=[None, "challenger", "champion"],
            title="Winner",
            description="Of the A/B test that is concluded; else empty.",
        ),
    },
    **{**platform("deployment"), "max_active_runs": 16},
):
    SteerRolloutOperator(
        task_id="steer",
        model="{{ params.model }}",
        command="{{ params.command }}",
        reason="{{ params.reason }}",
        winner="{{ params.winner or '' }}",
    )
