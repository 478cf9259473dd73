"""The airflow DAGs `report_daily`, `report_weekly`, `report_monthly`, `report_quarterly`: pages on each model and on all."""

from __future__ import annotations

import logging

from airflow.sdk import DAG, Param, get_current_context, task

from include.lifecycle.reporting.periodic.period import Kind
from modelops.models import chosen_names, valid_specs
from modelops.operators.reports import ReportFleetOperator, ReportModelOperator
from modelops.platform import cron, platform

# After midnight UTC, when the period's last windows have been measured; labels of its last day may still be to come.
SCHEDULES: dict[Kind, str] = {
    "daily": "0 4 * * *",
    "weekly": "20 4 * * 1",
    "monthly": "40 4 1 * *",
    "quarterly": "0 5 1 1,4,7,10 *",
}
WORDS = {
    "daily": "Each model's health on the day before",
    "weekly": "Each model's performance in the week before",
    "monthly": "Each model's trends in the month before",
    "quarterly": "The review of the quarter before",
}

for kind, expression in SCHEDULES.items():
    with DAG(
        f"report_{kind}",
        description=f"{WORDS[kind]}, and all models together.",
        doc_md="Reads tables and writes pages; the link Report of each task opens its page. Which models get which report: "
        "`reports.kinds`. At once, and of any period: `python -m include.lifecycle.cli report MODEL --kind ... --at ...`.",
        schedule=cron(expression),
        params={
            "model": Param("all", type="string", title="Model", description="A model's name, or all."),
            "at": Param("", type="string", title="A time in the period", description="ISO 8601; empty: the newest that is over."),
        },
        **platform("reporting"),
    ) as dag:

        @task
        def select_models(kind: str) -> list[str]:
            """Names of the models that want this report, or the one that the run names."""
            wanted, log = str(get_current_context()["params"]["model"]), logging.getLogger(__name__)
            if wanted not in ("", "all"):
                return chosen_names(wanted, log)
            return [spec.name for spec in valid_specs(log) if kind in spec.reports.kinds]

        ReportModelOperator.partial(
            task_id="report_model", map_index_template="{{ task.model }}", kind=kind, at="{{ params.at }}"
        ).expand(model=select_models(kind))
        ReportFleetOperator(task_id="report_fleet", kind=kind, at="{{ params.at }}")
    globals()[dag.dag_id] = dag
