"""Registry stages: register what was evaluated, retire what nobody needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk.definitions.context import Context

from include.lifecycle.results import (
    Evaluation,
    PreparedData,
    RegisteredVersion,
    Retirement,
    Snapshot,
    TrainedModel,
    TrainingOrder,
)
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from modelops.assets import WAKE_UPS, candidate, wake
from modelops.operators.base import LifecycleOperator


class RegisterModelOperator(LifecycleOperator):
    """Register the evaluated model as a version; when it may be rolled out, wake `deploy__<model>`.

    :param order: Result of `confirm_training`. (templated)
    :param snapshot: Result of `snapshot_data`. (templated)
    :param prepared: Result of `prepare_data`. (templated)
    :param trained: Result of `train_model`. (templated)
    :param evaluation: Result of `evaluate_model`. (templated)
    """

    template_fields: Sequence[str] = ("model", "order", "snapshot", "prepared", "trained", "evaluation")

    def __init__(self, *, order: Any, snapshot: Any, prepared: Any, trained: Any, evaluation: Any, **kwargs: Any) -> None:
        super().__init__(outlets=[WAKE_UPS], **kwargs)
        self.order = order
        self.snapshot = snapshot
        self.prepared = prepared
        self.trained = trained
        self.evaluation = evaluation

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> RegisteredVersion:
        """Register once per run, however often the task runs."""
        from include.lifecycle.registry.registration import register_model

        registered = register_model(
            spec,
            rt,
            run,
            TrainingOrder.model_validate(self.order),
            Snapshot.model_validate(self.snapshot),
            PreparedData.model_validate(self.prepared["prepared"]),
            TrainedModel.model_validate(self.trained),
            Evaluation.model_validate(self.evaluation),
        )
        if registered.candidate_id is not None:
            wake(context["outlet_events"], [candidate(self.model)])
        return registered


class RetireVersionsOperator(LifecycleOperator):
    """Archive versions that lost their last alias long enough ago, and prove that nothing serves them."""

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> Retirement:
        """Retire what may go; say why the others stay."""
        from include.lifecycle.registry.retirement import retire_versions

        return retire_versions(spec, rt, run)
