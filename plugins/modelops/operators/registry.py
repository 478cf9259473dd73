"""Registry stages: register what was evaluated, retire what nobody needs, replay what was registered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator
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
from include.lifecycle.runtime import RunContext, Runtime, runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Outcome
from modelops.assets import WAKE_UPS, candidate, wake
from modelops.log_lines import lines_about
from modelops.operators.base import LifecycleOperator, airflow_errors, run_context


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
    """Archive versions that lost their last alias long enough ago, and prove that nothing serves them.

    :param plan_only: Log and return what would be kept, archived or removed, and do nothing. (templated)
    """

    template_fields: Sequence[str] = ("model", "plan_only")

    def __init__(self, *, plan_only: bool | str = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan_only = plan_only

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> Retirement | dict[str, Any]:
        """Retire what may go; say why the others stay."""
        from include.lifecycle.registry.retirement import retire_versions

        if str(self.plan_only).lower() == "true":
            return self._plan(spec, rt)
        return retire_versions(spec, rt, run)

    def _plan(self, spec: ModelSpec, rt: Runtime) -> dict[str, Any]:
        from include.lifecycle.database import transaction
        from include.lifecycle.registry.retention import plan_retention

        with transaction(rt.engine) as connection:
            plans = plan_retention(spec, rt, connection)
        for plan in plans:
            self.log.info("%s version %s: %s, %s", spec.name, plan.version, plan.decision, plan.reasons)
        told = [{"version": plan.version, "decision": plan.decision, "why": plan.reasons} for plan in plans]
        return {"model": spec.name, "plan_only": True, "plan": told}


class ReplayVersionOperator(BaseOperator):
    """Make a version again from its record and its snapshot and compare the metrics; fails when they differ.

    It goes by the settings recorded with the version: the model's YAML of today is not asked, and may be gone.

    :param model: Name of the model. (templated)
    :param version: Number of the version. (templated)
    :param tune: Whether the study is run again, too. (templated)
    """

    template_fields: Sequence[str] = ("model", "version", "tune")
    ui_color = LifecycleOperator.ui_color

    def __init__(self, *, model: str, version: int | str, tune: bool | str = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.version = version
        self.tune = tune

    def execute(self, context: Context) -> dict[str, Any]:
        """Replay; the report becomes the XCom."""
        from include.lifecycle.errors import GateFailedError
        from include.lifecycle.registry.replay import Replay, replay_version

        with lines_about(self.model, [{"version": int(self.version)}]), airflow_errors():
            asked = Replay(self.model, int(self.version), tune=str(self.tune).lower() == "true")
            report = replay_version(runtime(), run_context(self.model, context), asked)
            if report.outcome is Outcome.FAIL:
                raise GateFailedError(f"replay of {self.model} version {self.version} failed: {report.reason}")
        return report.model_dump(mode="json")
