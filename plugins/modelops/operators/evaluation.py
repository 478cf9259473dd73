"""The gate of a train Dag: is this version good?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk.definitions.context import Context

from include.lifecycle.results import Evaluation, PreparedData, TrainedModel, TrainingOrder
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from modelops.links import EvaluationReportLink
from modelops.operators.base import LifecycleOperator


class EvaluateModelOperator(LifecycleOperator):
    """Judge the fitted model by every gate: on the hold-out, and against champion and anchor on identical rows.

    :param order: Result of `confirm_training`. (templated)
    :param prepared: Result of `prepare_data`. (templated)
    :param trained: Result of `train_model`. (templated)
    """

    template_fields: Sequence[str] = ("model", "order", "prepared", "trained")
    operator_extra_links = (EvaluationReportLink(),)

    def __init__(self, *, order: Any, prepared: Any, trained: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.order = order
        self.prepared = prepared
        self.trained = trained

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> Evaluation:
        """Collect every gate's verdict; a losing challenger is an answer, not an error."""
        from include.lifecycle.evaluation.evaluate import evaluate_model

        order, trained = TrainingOrder.model_validate(self.order), TrainedModel.model_validate(self.trained)
        return evaluate_model(spec, rt, run, order, PreparedData.model_validate(self.prepared["prepared"]), trained)
