"""Airflow DAG `measure_experiments`: measures every running A/B and A/A test, one mapped task per model."""

from __future__ import annotations

from airflow.sdk import DAG, task

from modelops.operators.experiments import MeasureExperimentOperator
from modelops.platform import cron, platform

with DAG(
    "measure_experiments",
    description="Measure running A/B and A/A tests: samples, differences, split.",
    doc_md="Joins the prediction log with mature labels and business values, per sticky key, and stores what it finds; the "
    "rollout's driver reads it and decides. It never moves traffic.",
    schedule=cron("*/10 * * * *"),
    **platform("deployment"),
):

    @task
    def select_models() -> list[str]:
        """Names of the models in an A/B or A/A test."""
        from include.lifecycle.database import transaction
        from include.lifecycle.rollout.experiments.measure import running_experiments
        from include.lifecycle.runtime import runtime

        with transaction(runtime().engine) as connection:
            return running_experiments(connection)

    MeasureExperimentOperator.partial(task_id="measure_experiment", map_index_template="{{ task.model }}").expand(
        model=select_models()
    )
