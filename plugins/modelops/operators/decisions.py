"""The arbiter's task: turn open signals of all models into training requests, alerts, or "no, because"."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context

from include.lifecycle.runtime import runtime
from modelops.assets import WAKE_UPS, training_requested, wake
from modelops.operators.base import airflow_errors, plain, run_context


class DecideOperator(BaseOperator):
    """Decide on every open signal; wake the train Dags whose training was requested. A broken YAML concerns only its model."""

    ui_color = "#fdf3dc"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(outlets=[WAKE_UPS], **kwargs)

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the policy over all models."""
        from include.lifecycle.decisions.decide import decide
        from modelops.models import valid_specs

        with airflow_errors():
            decisions = decide(valid_specs(self.log), runtime(), run_context("all", context))
        wake(context["outlet_events"], [training_requested(model) for model in decisions.training_requested])
        return plain(decisions)
