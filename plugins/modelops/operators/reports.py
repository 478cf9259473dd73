"""Report stages: the daily to quarterly report of one model, and that of all. They read, and write pages only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context

from include.lifecycle.results import PeriodicReport
from include.lifecycle.runtime import RunContext, Runtime, runtime
from include.lifecycle.spec import ModelSpec
from modelops.links import PeriodicReportLink
from modelops.models import valid_specs
from modelops.operators.base import LifecycleOperator, airflow_errors, plain

if TYPE_CHECKING:
    from include.lifecycle.reporting.periodic.period import Kind, Period


class ReportModelOperator(LifecycleOperator):
    """Write one model's report of one period.

    :param model: Name of the model; the task's label in the UI. (templated)
    :param kind: daily, weekly, monthly or quarterly.
    :param at: A time in the period, ISO 8601; empty: the newest period that is over. (templated)
    """

    template_fields: Sequence[str] = ("model", "at")
    operator_extra_links = (PeriodicReportLink(),)

    def __init__(self, *, kind: Kind, at: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind
        self.at = at

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> PeriodicReport:
        """Write it; the same period again replaces its page."""
        from include.lifecycle.reporting.periodic.writing import write_model_report

        return write_model_report(spec, rt, _period(rt, self.kind, self.at))


class ReportFleetOperator(BaseOperator):
    """Write the report of all models of one period.

    :param kind: daily, weekly, monthly or quarterly.
    :param at: A time in the period, ISO 8601; empty: the newest period that is over. (templated)
    """

    template_fields: Sequence[str] = ("at",)
    operator_extra_links = (PeriodicReportLink(),)
    ui_color = LifecycleOperator.ui_color

    def __init__(self, *, kind: Kind, at: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind
        self.at = at

    def execute(self, context: Context) -> dict[str, Any]:
        """Write it; a model whose YAML is broken is left out and named in the log."""
        from include.lifecycle.reporting.periodic.writing import write_fleet_report

        rt = runtime()
        with airflow_errors():
            return plain(write_fleet_report(valid_specs(self.log), rt, _period(rt, self.kind, self.at)))


def _period(rt: Runtime, kind: Kind, at: str) -> Period:
    from include.lifecycle.reporting.periodic.period import chosen_period

    return chosen_period(kind, at, rt.clock.now())
