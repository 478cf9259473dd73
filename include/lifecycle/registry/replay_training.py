"""The training part of a replay: the recorded algorithm and parameters fitted again, or the whole study run again (`tune`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.registry.record import VersionRecord
from include.lifecycle.results import PreparedData
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.pipelines import build_pipeline, feature_table, labels_of

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


@dataclass(frozen=True)
class Refit:
    """The pipeline that was fitted again, and what it was fitted by."""

    pipeline: Pipeline
    algorithm: str
    params: dict[str, Any]


def refit(
    spec: ModelSpec, rt: Runtime, run: RunContext, record: VersionRecord, prepared: PreparedData, root: Path, *, tune: bool
) -> Refit:
    """Fit again on `prepared.train`; raises SpecInvalidError for what cannot be repeated exactly."""
    import pandas as pd
    from threadpoolctl import threadpool_limits

    where = f"model {spec.name}, run {record.run_id}"
    if record.order.method != "full":
        raise SpecInvalidError(
            f"{where}: it learnt on from another version (method {record.order.method}); only full is replayed"
        )
    if spec.training.entry_point is not None:
        raise SpecInvalidError(
            f"{where}: it was trained by {spec.training.entry_point}, which may do anything; only own families"
        )
    algorithm, params = _tuned(spec, rt, run, record, prepared) if tune else (record.algorithm, record.params)
    rows = pd.read_parquet(prepared.train)
    with threadpool_limits(spec.training.threads):
        pipeline = build_pipeline(spec, algorithm, params)
        pipeline.fit(feature_table(spec.features, rows), labels_of(spec, rows))
    return Refit(pipeline, algorithm, params)


def _tuned(
    spec: ModelSpec, rt: Runtime, run: RunContext, record: VersionRecord, prepared: PreparedData
) -> tuple[str, dict[str, Any]]:
    """The winner of a study with the same seeds; several workers finish in an order that nobody can repeat."""
    if spec.training.workers != 1:
        raise SpecInvalidError(f"model {spec.name}: tuning with {spec.training.workers} workers cannot be repeated; only with 1")
    from include.lifecycle.training.search import chosen
    from include.lifecycle.training.study import load_study, study_calls
    from include.lifecycle.training.tuning import open_study, run_trials

    plan = open_study(spec, rt, replace(run, task="tune"), record.order, prepared)
    run_trials(spec, rt, run, plan, prepared, 0)
    with study_calls(rt):
        return chosen(load_study(rt, plan.study, spec.training).best_trial, spec.training)
