"""What tuning and fitting write into MLflow: one parent run per training, one nested run per trial, each written once.

Batched calls only: one for creation, one for all parameters and metrics, one to end the run.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from include.lifecycle.registry.client import ensure_experiment, registry_calls
from include.lifecycle.results import StudyPlan, TrainingOrder
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.sections.training import TrainingSection
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.search import chosen

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

RUN_TAG, TRIAL_TAG = "modelops.run_id", "modelops.trial"
_PARENT_TAG = "mlflow.parentRunId"


def open_parent_run(spec: ModelSpec, rt: Runtime, run: RunContext, order: TrainingOrder) -> tuple[str, str]:
    """Experiment id and run id of this training; the run is found again by its tag `modelops.run_id`."""
    experiment = ensure_experiment(rt, spec.name)
    with registry_calls(rt, f"opening the run of {run.run_id}") as client:
        found = client.search_runs([experiment], f"tags.`{RUN_TAG}` = '{_quoted(run.run_id)}'", max_results=1)
        if found:
            return experiment, str(found[0].info.run_id)
        tags = {
            RUN_TAG: run.run_id,
            "mlflow.runName": run.run_id,
            "modelops.model": spec.name,
            "modelops.source": order.source,
            "modelops.reason": order.reason,
            "modelops.spec_hash": spec.digest,
        }
        return experiment, str(client.create_run(experiment, tags=tags).info.run_id)


def log_to_run(rt: Runtime, run_id: str, params: Mapping[str, Any], metrics: Mapping[str, float], *, end: bool) -> None:
    """Add parameters and metrics to one run in one call, and end it when `end`."""
    from mlflow.entities import Metric, Param

    now = round(time.time() * 1000)
    with registry_calls(rt, f"logging to run {run_id}") as client:
        client.log_batch(
            run_id,
            [Metric(name, float(value), now, 0) for name, value in metrics.items()],
            [Param(name, str(value)) for name, value in params.items()],
        )
        if end:
            client.set_terminated(run_id)


@dataclass
class TrialLog:
    """Writes finished trials below the plan's parent run; a trial whose run is complete is never written again."""

    rt: Runtime
    plan: StudyPlan
    metric: str
    training: TrainingSection
    _runs: dict[int, tuple[str, bool]] = field(default_factory=dict)  # trial number -> run id, whether it is complete

    def read(self) -> None:
        """Learn which trials have their run already."""
        with registry_calls(self.rt, f"listing the trials of {self.plan.study}") as client:
            token = None
            while True:
                query = f"tags.`{_PARENT_TAG}` = '{self.plan.parent_run_id}'"
                page = client.search_runs([self.plan.experiment_id], query, max_results=500, page_token=token)
                for run in page:
                    if TRIAL_TAG in run.data.tags:
                        self._runs[int(run.data.tags[TRIAL_TAG])] = (run.info.run_id, run.info.status == "FINISHED")
                if not (token := page.token):
                    return

    def write(self, trial: FrozenTrial) -> None:
        """Write one finished trial, or complete a run that a killed worker left half-written."""
        run_id, complete = self._runs.get(trial.number) or (self._create(trial), False)
        if complete:
            return
        from mlflow.entities import Metric, Param

        algorithm, params = chosen(trial, self.training)
        ended = _milliseconds(trial.datetime_complete)
        metrics = [Metric(f"fold_{self.metric}", value, ended, step) for step, value in trial.intermediate_values.items()]
        if trial.state.name == "COMPLETE" and trial.value is not None:
            metrics.append(Metric(self.metric, trial.value, ended, 0))
        told = {"algorithm": algorithm, **params, "state": trial.state.name}
        with registry_calls(self.rt, f"logging trial {trial.number} of {self.plan.study}") as client:
            client.log_batch(run_id, metrics, [Param(name, str(value)) for name, value in told.items()])
            client.set_terminated(run_id, end_time=ended)
        self._runs[trial.number] = (run_id, True)

    def _create(self, trial: FrozenTrial) -> str:
        tags = {
            _PARENT_TAG: self.plan.parent_run_id,
            TRIAL_TAG: str(trial.number),
            "mlflow.runName": f"trial-{trial.number}",
            "modelops.worker": str(trial.user_attrs.get("worker")),
        }
        with registry_calls(self.rt, f"opening trial {trial.number} of {self.plan.study}") as client:
            created = client.create_run(self.plan.experiment_id, start_time=_milliseconds(trial.datetime_start), tags=tags)
            return str(created.info.run_id)


def _milliseconds(moment: Any) -> int:
    return round((moment.timestamp() if moment is not None else time.time()) * 1000)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
