"""Stages of A/B and A/A tests: measure what is running, open an A/A test, say how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.lifecycle.results import PlannedRollout, RolloutOutcome
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from modelops.hooks.database import data_access
from modelops.operators.base import LifecycleOperator


class MeasureExperimentOperator(LifecycleOperator):
    """Measure a model's running A/B or A/A test: exposure by the prediction log, outcomes by labels and the business's query.

    :param model: Name of the model; the task's label in the UI. (templated)
    """

    template_fields: Sequence[str] = ("model",)

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> dict[str, Any]:
        """Measure through the connection that the labels come from."""
        from include.lifecycle.rollout.experiments.measure import measure_experiment

        found = measure_experiment(spec, rt, data_access(spec))
        if found is None:
            raise AirflowSkipException(f"{self.model}: its test has ended since it was chosen")
        kept = ("metric", "rows", "crossed", "report")
        told = found.model_dump(mode="json", exclude={"detail"}) | {name: found.detail.get(name) for name in kept}
        return {"model": self.model, **told}


class PlanAaTestOperator(LifecycleOperator):
    """Open an A/A test of the model's champion; skip the run when there is no champion or another rollout is open.

    :param reason: Why, for the ledger. (templated)
    """

    template_fields: Sequence[str] = ("model", "reason")

    def __init__(self, *, reason: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reason = reason

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> PlannedRollout:
        """Write the rollout's row."""
        from include.lifecycle.rollout.experiments.aa import plan_aa_test

        planned = plan_aa_test(spec, rt, run, reason=self.reason)
        if planned.rollout_id is None:
            raise AirflowSkipException(planned.reason)
        return planned


class ConcludeAaTestOperator(LifecycleOperator):
    """Succeed when a version did not differ from itself; fail when it did, or when the test was ended before it could tell.

    :param outcome: Result of `roll_out`. (templated)
    """

    template_fields: Sequence[str] = ("model", "outcome")

    def __init__(self, *, outcome: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.outcome = outcome

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> RolloutOutcome:
        """A difference where there is none is a red run: split, log or labels are to be looked at."""
        from include.lifecycle.rollout.experiments.aa import passed_aa_test

        outcome = RolloutOutcome.model_validate(self.outcome)
        if not passed_aa_test(rt, outcome):
            raise AirflowFailException(f"the A/A test of {outcome.model} ended {outcome.state}: {outcome.reason}")
        return outcome
