"""Housekeeping tasks: compact the prediction log, reconcile rollouts with the world, wake what was left unclaimed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context

from include.lifecycle.errors import LifecycleError
from include.lifecycle.runtime import runtime
from modelops.assets import WAKE_UPS, candidate, signals, training_requested, wake
from modelops.models import valid_specs
from modelops.operators.base import airflow_errors
from modelops.runs import deploy_run_alive, train_run_state


class ReconcileOperator(BaseOperator):
    """Drive rollouts whose lease lapsed, restore traffic and servers that drifted from the desired rows."""

    def execute(self, context: Context) -> list[str]:
        """Return one line per thing that was put right."""
        from include.lifecycle.rollout.reconcile import reconcile

        with airflow_errors():
            names = [spec.name for spec in valid_specs(self.log)]
            return reconcile(runtime(), names, run_alive=deploy_run_alive(context["ti"]))


class CompactPredictionsOperator(BaseOperator):
    """Move closed segments of every model's prediction log into Parquet; one model's trouble does not stop the others."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Return rows compacted per model."""
        from include.lifecycle.monitoring.compaction import compact_predictions

        rt, done, failed = runtime(), {}, {}
        for spec in valid_specs(self.log):
            try:
                done[spec.name] = compact_predictions(rt, spec, now=rt.clock.now()).rows
            except (LifecycleError, OSError) as problem:
                failed[spec.name] = str(problem)
        if failed:
            raise RuntimeError(f"compaction failed for {failed}; done for {done}")
        return done


class SweepOperator(BaseOperator):
    """Free rows that a dead run had claimed, and wake whoever should claim them (events are dropped while a Dag is paused).

    Alerts that ended longer ago than their model keeps them go.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(outlets=[WAKE_UPS], **kwargs)

    def execute(self, context: Context) -> dict[str, Any]:
        """Emit one event per open row's owner; return what was freed, who is woken, and how many incidents went."""
        from include.lifecycle.alerting.keeping import remove_old_alerts
        from include.lifecycle.alerting.policy import policies_of
        from include.lifecycle.decisions.sweep import unclaimed
        from include.lifecycle.training.requests import release_stale

        with airflow_errors():
            freed = release_stale(runtime(), train_run_state(context["ti"]))
            left = unclaimed(runtime())
            gone = remove_old_alerts(runtime(), policies_of(runtime().settings), datetime.now(UTC))
        assets = [training_requested(model) for model in left.training] + [candidate(model) for model in left.candidates]
        wake(context["outlet_events"], assets + ([signals()] if left.signals else []))
        found = {"freed": freed, "training": left.training, "candidates": left.candidates, "signals": left.signals}
        return found | {"incidents_removed": gone}
