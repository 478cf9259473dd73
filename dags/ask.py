"""Airflow DAG `ask`: puts one question about a retraining to people (modes suggest and approve), one run per question."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from modelops.operators.decisions import AskOperator
from modelops.platform import platform

with DAG(
    "ask",
    description="Ask a person whether a model is to be retrained, or whether a requested training may start.",
    doc_md="Started by `decide`, one run per question. The answer, also a missing one, goes into the ledger.",
    schedule=None,
    params={
        "question": Param(0, type="integer", minimum=0, title="Number of the question", description="Row of table questions."),
        "model": Param("", type="string", title="Model", description="For the list of runs only."),
    },
    **(platform("decision") | {"max_active_runs": 1000}),
):
    AskOperator(
        task_id="ask",
        question="{{ params.question }}",
        params={"comment": Param("", type="string", title="Comment for the ledger")},
    )
