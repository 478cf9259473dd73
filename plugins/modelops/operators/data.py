"""Data stages of a train Dag: fetch, validate, snapshot, prepare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk.definitions.context import Context

from include.lifecycle.results import FetchedData, PreparedData, Snapshot, StageResult, TrainingOrder, ValidatedData
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from modelops.hooks.database import data_access
from modelops.links import DataReportLink
from modelops.operators.base import LifecycleOperator


class FetchDataOperator(LifecycleOperator):
    """Stream the model's window of rows from its source into one Parquet file.

    :param order: Result of `confirm_training`. (templated)
    """

    template_fields: Sequence[str] = ("model", "order")

    def __init__(self, *, order: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.order = order

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> FetchedData:
        """Fetch through the spec's Airflow connection."""
        from include.lifecycle.data.fetch import fetch_data

        return fetch_data(spec, rt, run, TrainingOrder.model_validate(self.order), data_access(spec))


class _FetchedOperator(LifecycleOperator):
    template_fields: Sequence[str] = ("model", "fetched")

    def __init__(self, *, fetched: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fetched = fetched

    def _fetched(self) -> FetchedData:
        return FetchedData.model_validate(self.fetched)


class ValidateDataOperator(_FetchedOperator):
    """Judge the fetched rows, and set bad ones aside; data that fails stops the run.

    :param fetched: Result of `fetch_data`. (templated)
    """

    operator_extra_links = (DataReportLink(),)

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> ValidatedData:
        """Run every check of the YAML."""
        from include.lifecycle.data.validation import validate_data

        return validate_data(spec, rt, run, self._fetched())


class _ValidatedOperator(LifecycleOperator):
    template_fields: Sequence[str] = ("model", "validated")

    def __init__(self, *, validated: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.validated = validated

    def _clean(self) -> FetchedData:
        return ValidatedData.model_validate(self.validated).clean


class SnapshotDataOperator(_ValidatedOperator):
    """Keep the clean rows as a DVC snapshot whose content hash is its id.

    :param validated: Result of `validate_data`. (templated)
    """

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> Snapshot:
        """Store the snapshot once."""
        from include.lifecycle.data.snapshot import snapshot_data

        return snapshot_data(spec, rt, run, self._clean())


class PrepareDataOperator(_ValidatedOperator):
    """Split the clean rows by time, and open the tuning study on them.

    :param order: Result of `confirm_training`. (templated)
    :param validated: Result of `validate_data`. (templated)
    """

    template_fields: Sequence[str] = ("model", "validated", "order")

    def __init__(self, *, order: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.order = order

    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> dict[str, Any]:
        """Return `prepared` (PreparedData) and `plan` (StudyPlan)."""
        from include.lifecycle.data.preparation import prepare_data
        from include.lifecycle.training.tuning import open_study

        order = TrainingOrder.model_validate(self.order)
        prepared: PreparedData = prepare_data(spec, rt, run, order, self._clean())
        plan: StageResult = open_study(spec, rt, run, order, prepared)
        return {"prepared": prepared, "plan": plan}
