"""Monitoring stages: measure one model's finished windows, then write reports of them; neither trains, deploys or rolls back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowSkipException

from include.lifecycle.errors import LifecycleError
from include.lifecycle.loading import load_model
from include.lifecycle.results import MonitoredModel, ReportedWindows
from include.lifecycle.runtime import RunContext, Runtime, runtime
from include.lifecycle.spec import ModelSpec
from modelops.assets import alerts, signals, wake
from modelops.hooks.database import data_access
from modelops.links import ReportLink
from modelops.operators.base import LifecycleOperator


class MonitorModelOperator(LifecycleOperator):
    """Measure every finished window of one model; wake `decide` when signals are open.

    Give `outlets=[WAKE_UPS]`: a mapped task's outlets must stand where it is declared.

    :param model: Name of the model; the task's label in the UI. (templated)
    """

    template_fields: Sequence[str] = ("model",)

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> MonitoredModel:
        """Measure through the connection that the labels come from."""
        from include.lifecycle.monitoring.monitor import monitor_model

        monitored = monitor_model(spec, rt, run, data_access(spec))
        if monitored.signals:
            wake(context["outlet_events"], [signals(), alerts()])
        elif not monitored.windows:
            raise AirflowSkipException(f"{self.model}: no finished window since the last look")
        return monitored


class CountShardOperator(BaseOperator):
    """Count one slice of a window that is too large for one task's memory; the monitor merges the counts.

    What cannot be counted is left to the monitor, which counts it itself: one model's trouble stops no other.

    :param shard: One of `plan_shards`, plain. (templated)
    """

    template_fields: Sequence[str] = ("shard",)

    def __init__(self, *, shard: dict[str, str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shard = shard

    def execute(self, context: Context) -> int:
        """Return the number of rows counted."""
        from include.lifecycle.monitoring.counting.shards import Shard, count_shard
        from include.lifecycle.monitoring.monitor import usable_profiles

        shard, rt = Shard.parse(self.shard), runtime()
        try:
            return count_shard(load_model(shard.model), rt, shard, usable_profiles(rt, shard.model))
        except LifecycleError as problem:
            raise AirflowSkipException(f"{shard.model}: {problem}; the monitor counts this slice itself") from problem


class ReportWindowsOperator(LifecycleOperator):
    """Write Evidently's reports of one model's newly measured windows, on a bounded sample; nothing waits for it.

    :param model: Name of the model; the task's label in the UI. (templated)
    """

    template_fields: Sequence[str] = ("model",)
    operator_extra_links = (ReportLink(),)

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> ReportedWindows:
        """Write what is due."""
        from include.lifecycle.monitoring.window_reports import report_windows

        reported = report_windows(spec, rt)
        if not reported.reports:
            raise AirflowSkipException(f"{self.model}: no window waits for a report")
        return reported
