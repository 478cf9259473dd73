"""Airflow DAG `replay`: makes a registered version again and compares its metrics; by a person or another system."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from modelops.operators.registry import ReplayVersionOperator
from modelops.platform import platform

with DAG(
    "replay",
    description="Rebuild a version from its record and its snapshot, and compare the metrics.",
    doc_md="Registers nothing, moves no alias. Passes when all metrics agree within 1e-9; the verdict is in the ledger.",
    schedule=None,
    params={
        "model": Param("", type="string", minLength=1, title="Model"),
        "version": Param(1, type="integer", minimum=1, title="Version"),
        "tune": Param(False, type="boolean", title="Run the study again, too", description="Only when one worker tuned."),
    },
    **platform("registry"),
):
    ReplayVersionOperator(
        task_id="replay_version",
        model="{{ params.model }}",
        version="{{ params.version }}",
        tune="{{ params.tune }}",
    )
