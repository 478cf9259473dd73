"""Airflow DAGs `monitor_hourly`, `monitor_daily`, `monitor_weekly`: measure the windows of models of that schedule, then report.

One mapped task per model; windows too large for one task's memory are counted in slices before, a mapped task each.
"""

from __future__ import annotations

import logging

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Param, get_current_context, task

from include.lifecycle.loading import load_model
from include.lifecycle.spec import ModelSpec
from modelops.assets import WAKE_UPS
from modelops.models import valid_specs
from modelops.operators.monitoring import CountShardOperator, MonitorModelOperator, ReportWindowsOperator
from modelops.platform import cron, platform

SCHEDULES = {"hourly": "5 * * * *", "daily": "15 2 * * *", "weekly": "25 2 * * 1"}
"""Cron (UTC) by `monitoring.schedule`."""
_log = logging.getLogger(__name__)


def chosen(schedule: str) -> list[ModelSpec]:
    """The model that the run names, or all whose YAML says this schedule."""
    wanted = str(get_current_context()["params"]["model"])
    if wanted not in ("", "all"):
        return [load_model(wanted)]
    return [spec for spec in valid_specs(_log) if spec.monitoring.schedule == schedule]


def shards(schedule: str) -> list[dict[str, str]]:
    """Slices of windows to be counted apart; a model whose slices cannot be planned is counted without."""
    from include.lifecycle.errors import LifecycleError
    from include.lifecycle.monitoring.counting import planning
    from include.lifecycle.runtime import runtime

    found = []
    for spec in chosen(schedule):
        try:
            found += [shard.plain() for shard in planning.plan_shards(spec, runtime())]
        except (LifecycleError, OSError) as problem:
            _log.warning("%s: its windows are counted without shards: %s", spec.name, problem)
    return found


def reports_due(schedule: str) -> list[str]:
    """Names of the models that have a window without its report."""
    from include.lifecycle.database import transaction
    from include.lifecycle.monitoring.window_reports import models_with_reports_due
    from include.lifecycle.runtime import runtime

    with transaction(runtime().engine) as connection:
        return models_with_reports_due(connection, chosen(schedule))


def monitor_dag(schedule: str) -> DAG:
    """The Dag of one schedule."""
    with DAG(
        f"monitor_{schedule}",
        description=f"Measure drift, predictions and performance of models that are looked at {schedule}; raise signals.",
        doc_md="Measures each model's finished windows and raises signals. It never trains, deploys or rolls back: `decide` "
        "does, woken before the reports for people are written.",
        schedule=cron(SCHEDULES[schedule]),
        params={"model": Param("all", type="string", title="Model", description="A model's name, or all of this schedule.")},
        **platform("monitoring"),
    ) as dag:

        @task
        def select_models() -> list[str]:
            """Names of the models to measure."""
            return [spec.name for spec in chosen(schedule)]

        @task
        def plan_shards() -> list[dict[str, str]]:
            """Slices of windows that are too large for one task; mostly none."""
            return shards(schedule)

        counted = CountShardOperator.partial(task_id="count_shard", retries=1).expand(shard=plan_shards())
        monitored = MonitorModelOperator.partial(
            task_id="monitor_model",
            map_index_template="{{ task.model }}",
            outlets=[WAKE_UPS],
            trigger_rule="none_failed",
        ).expand(model=select_models())

        @task(trigger_rule="all_done")
        def select_reports() -> list[str]:
            """Names of the models that have a window without its report."""
            return reports_due(schedule)

        due = select_reports()
        counted >> monitored >> due
        report = ReportWindowsOperator.partial(task_id="report_windows", map_index_template="{{ task.model }}", retries=1)
        report.expand(model=due)
        # A run's state is that of its last tasks: a model that could not be measured must show.
        monitored >> EmptyOperator(task_id="measured", trigger_rule="none_failed")
    return dag


for _schedule in SCHEDULES:
    globals()[f"monitor_{_schedule}"] = monitor_dag(_schedule)
