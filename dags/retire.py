"""Airflow DAG `retire`: archives versions that hold no alias any more; wakes on promotions and once a day."""

from __future__ import annotations

import logging

from airflow.sdk import DAG, AssetOrTimeSchedule, Param, get_current_context, task

from modelops.assets import promotions
from modelops.models import chosen_names
from modelops.operators.registry import RetireVersionsOperator
from modelops.platform import cron, platform

with DAG(
    "retire",
    description="Archive versions that nobody needs, and prove that nothing serves them.",
    doc_md="A version goes when it lost its last alias longer ago than `retention.retire_after`. Kept versions say why.",
    schedule=AssetOrTimeSchedule(timetable=cron("30 3 * * *"), assets=promotions()),
    params={
        "model": Param("all", type="string", title="Model", description="A model's name, or all."),
        "plan_only": Param(False, type="boolean", title="Only plan", description="Log what would be done, and do nothing."),
    },
    **platform("retirement"),
):

    @task
    def select_models() -> list[str]:
        """Names of the models whose versions are looked at."""
        return chosen_names(str(get_current_context()["params"]["model"]), logging.getLogger(__name__))

    RetireVersionsOperator.partial(
        task_id="retire_versions", map_index_template="{{ task.model }}", plan_only="{{ params.plan_only }}"
    ).expand(model=select_models())
