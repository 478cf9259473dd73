"""Airflow DAG `monitor_hourly`: measures every model's finished windows, one mapped task per model."""

from __future__ import annotations

import logging

from airflow.sdk import DAG, Param, get_current_context, task

from modelops.assets import WAKE_UPS
from modelops.models import chosen_names
from modelops.operators.monitoring import MonitorModelOperator
from modelops.platform import cron, platform

with DAG(
    "monitor_hourly",
    description="Measure drift, predictions and performance; raise signals.",
    doc_md="Measures each model's finished windows and raises signals. It never trains, deploys or rolls back: `decide` does.",
    schedule=cron("5 * * * *"),
    params={"model": Param("all", type="string", title="Model", description="A model's name, or all.")},
    **platform("monitoring"),
):

    @task
    def select_models() -> list[str]:
        """Names of the models to measure."""
        return chosen_names(str(get_current_context()["params"]["model"]), logging.getLogger(__name__))

    MonitorModelOperator.partial(
        task_id="monitor_model",
        map_index_template="{{ task.model }}",
        outlets=[WAKE_UPS],
    ).expand(model=select_models())
