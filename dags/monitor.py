"""Airflow DAG `monitor_hourly`: measures every model's finished windows, one mapped task per model, then writes reports."""

from __future__ import annotations

import logging

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Param, get_current_context, task

from modelops.assets import WAKE_UPS
from modelops.models import chosen_names, valid_specs
from modelops.operators.monitoring import MonitorModelOperator, ReportWindowsOperator
from modelops.platform import cron, platform

with DAG(
    "monitor_hourly",
    description="Measure drift, predictions and performance; raise signals.",
    doc_md="Measures each model's finished windows and raises signals. It never trains, deploys or rolls back: `decide` does, "
    "woken before the reports for people are written.",
    schedule=cron("5 * * * *"),
    params={"model": Param("all", type="string", title="Model", description="A model's name, or all.")},
    **platform("monitoring"),
):

    @task
    def select_models() -> list[str]:
        """Names of the models to measure."""
        return chosen_names(str(get_current_context()["params"]["model"]), logging.getLogger(__name__))

    monitored = MonitorModelOperator.partial(
        task_id="monitor_model",
        map_index_template="{{ task.model }}",
        outlets=[WAKE_UPS],
    ).expand(model=select_models())

    @task(trigger_rule="all_done")
    def select_reports() -> list[str]:
        """Names of the models that have a window without its report."""
        from include.lifecycle.database import transaction
        from include.lifecycle.monitoring.window_reports import models_with_reports_due
        from include.lifecycle.runtime import runtime

        log = logging.getLogger(__name__)
        wanted = set(chosen_names(str(get_current_context()["params"]["model"]), log))
        with transaction(runtime().engine) as connection:
            return models_with_reports_due(connection, [spec for spec in valid_specs(log) if spec.name in wanted])

    due = select_reports()
    monitored >> due
    ReportWindowsOperator.partial(task_id="report_windows", map_index_template="{{ task.model }}", retries=1).expand(model=due)
    # A run's state is that of its last tasks: a model that could not be measured must show.
    monitored >> EmptyOperator(task_id="measured", trigger_rule="none_failed")
