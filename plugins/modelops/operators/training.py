"""Training stages of a train Dag: confirm that it may run, tune with mapped workers, fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from airflow.sdk import get_current_context
from airflow.sdk.definitions.context import Context

from include.lifecycle.results import FailedTraining, PreparedData, StudyPlan, TrainedModel, TrainingOrder, TunedStudy
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from modelops.operators.base import LifecycleOperator
from modelops.runs import failed_tasks, train_run_state

Trigger = Literal["signal", "schedule", "manual"]


class ConfirmTrainingOperator(LifecycleOperator):
    """Fold all open requests of the model into one training, or skip the run when training is not allowed now."""

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> TrainingOrder:
        """Confirm by what started the run: an asset event, the cron, or a person (REST or form)."""
        from include.lifecycle.training.requests import confirm_training, release_stale

        release_stale(rt, train_run_state(context["ti"]))
        dag_run: Any = context["dag_run"]
        conf = _conf(dict(context["params"]), dag_run)
        return confirm_training(spec, rt, run, trigger=_trigger(str(dag_run.run_type), conf), conf=conf)


class RunTrialsOperator(LifecycleOperator):
    """One tuning worker: adds trials to the study until it holds as many as planned.

    :param prepared: Result of `prepare_data`. (templated)
    :param worker: Number of this worker; gives it a sampler seed of its own.
    """

    template_fields: Sequence[str] = ("model", "prepared")

    def __init__(self, *, prepared: Any, worker: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.prepared = prepared
        self.worker = worker

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> TunedStudy:
        """Run this worker's share."""
        from include.lifecycle.training.tuning import run_trials

        get_current_context()["worker"] = f"worker {self.worker}"  # type: ignore[typeddict-unknown-key]
        plan, prepared = StudyPlan.model_validate(self.prepared["plan"]), PreparedData.model_validate(self.prepared["prepared"])
        return run_trials(spec, rt, run, plan, prepared, self.worker)


class TrainModelOperator(LifecycleOperator):
    """Fit the study's best pipeline on all training rows.

    :param order: Result of `confirm_training`. (templated)
    :param prepared: Result of `prepare_data`. (templated)
    """

    template_fields: Sequence[str] = ("model", "order", "prepared")

    def __init__(self, *, order: Any, prepared: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.order = order
        self.prepared = prepared

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> TrainedModel:
        """Refit the winner."""
        from include.lifecycle.training.fitting import train_model

        plan, prepared = StudyPlan.model_validate(self.prepared["plan"]), PreparedData.model_validate(self.prepared["prepared"])
        return train_model(spec, rt, run, TrainingOrder.model_validate(self.order), plan, prepared)


class ReportFailureOperator(LifecycleOperator):
    """Say that the training failed, where and why, and that the champion keeps serving; runs only when a task failed."""

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> FailedTraining:
        """Gather what the failed tasks said, and close the run's requests."""
        from include.lifecycle.training.failure import report_failure

        instance: Any = context["ti"]
        prepared = instance.xcom_pull(task_ids="prepare_data") or {}
        failed = failed_tasks(instance, str(instance.dag_id), run.run_id)
        reported = report_failure(spec, rt, run, failed, prepared.get("plan", {}).get("parent_run_id"))
        self.log.error(reported.message)
        return reported


def _conf(params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
    """What the run was started with. Who started it stands above what `conf` says: requesters may not approve their version."""
    person = getattr(dag_run, "triggering_user_name", None)
    return params | dict(dag_run.conf or {}) | ({"requested_by": person} if person else {})


def _trigger(run_type: str, conf: dict[str, Any]) -> Trigger:
    kind = run_type.lower()
    if "asset" in kind:
        return "signal"
    return "schedule" if "scheduled" in kind or conf.get("source") == "schedule" else "manual"
