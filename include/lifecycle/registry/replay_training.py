"""The training part of a replay, the way the version was trained: its parameters fitted again, or its own function called again.

`tune` runs the whole study again. Seeds and threads come with the recorded settings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.registry.record import VersionRecord
from include.lifecycle.results import PreparedData
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.pipelines import build_pipeline, feature_table, labels_of
from include.lifecycle.training.threads import native_threads

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


@dataclass(frozen=True)
class Refit:
    """The model that was fitted again, what it was fitted by, and what else is to be compared (recorded, now)."""

    pipeline: Pipeline
    algorithm: str
    params: dict[str, Any]
    facts: dict[str, tuple[Any, Any]]


def refit(spec: ModelSpec, rt: Runtime, run: RunContext, record: VersionRecord, prepared: PreparedData, *, tune: bool) -> Refit:
    """Fit again on `prepared.train`.

    Raises SpecInvalidError for what cannot be repeated; incremental and own functions raise as training does.
    """

    method = str(record.training.get("method", record.order.method))
    if method not in _WAYS:
        raise SpecInvalidError(f"model {spec.name}, run {record.run_id}: method {method!r} was not done here and is not replayed")
    if tune and method != "full":
        raise SpecInvalidError(f"model {spec.name}, run {record.run_id}: nothing was tuned (method {method})")
    with native_threads(spec.training.threads):
        if tune:
            algorithm, params = _tuned(spec, rt, run, record, prepared)
            return _fitted(spec, algorithm, params, prepared)
        return _WAYS[method](spec, rt, record, prepared)


def _fitted(spec: ModelSpec, algorithm: str, params: dict[str, Any], prepared: PreparedData) -> Refit:
    import pandas as pd

    rows = pd.read_parquet(prepared.train)
    pipeline = build_pipeline(spec, algorithm, params)
    pipeline.fit(feature_table(spec.features, rows), labels_of(spec, rows))
    return Refit(pipeline, algorithm, params, {})


def _again(spec: ModelSpec, rt: Runtime, record: VersionRecord, prepared: PreparedData) -> Refit:
    return _fitted(spec, record.algorithm, record.params, prepared)


def _learnt_on(spec: ModelSpec, rt: Runtime, record: VersionRecord, prepared: PreparedData) -> Refit:
    """From the version that it learnt on from: its file lies in the registry under its digest."""
    import pandas as pd

    from include.lifecycle.training.incremental import learn_on

    learnt = learn_on(spec, rt, int(record.training["base_version"]), pd.read_parquet(prepared.train))
    return Refit(learnt.pipeline, learnt.algorithm, learnt.params, {})


def _called(spec: ModelSpec, rt: Runtime, record: VersionRecord, prepared: PreparedData) -> Refit:
    """By the model's own function as it is today; its source's digest is compared."""
    from include.lifecycle.training.champion import training_record
    from include.lifecycle.training.entry_point import TrainingInput, call_entry_point, source_of

    named, champion = str(spec.training.entry_point), record.order.champion
    before = training_record(rt, spec.name, champion) if champion is not None else None
    inputs = TrainingInput(
        spec=spec,
        rows=prepared.train,
        seed=spec.training.seed,
        threads=spec.training.threads,
        as_of=record.order.as_of,
        champion=dict(before["params"]) if before else None,
    )
    made = call_entry_point(rt.settings.home, named, inputs)
    facts = {"entry_point_digest": (record.training.get("entry_point_digest"), source_of(rt.settings.home, named)[1])}
    return Refit(made.estimator, made.algorithm, dict(made.params), facts)


_Way = Callable[[ModelSpec, Runtime, VersionRecord, PreparedData], Refit]
_WAYS: dict[str, _Way] = {"full": _again, "incremental": _learnt_on, "entry_point": _called}


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
