"""Stage tune: mapped workers add trials to one study until it holds as many as planned; each trial is scored on forward folds.

open_study (inside prepare_data) makes study, experiment and parent run; run_trials is one worker; fitting.py reads the winner.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from include.lifecycle.data.sampling import sample_mask
from include.lifecycle.data.targets import Labels
from include.lifecycle.errors import DataInvalidError
from include.lifecycle.evaluation.metrics import Metric, objective_metric
from include.lifecycle.results import PreparedData, StudyPlan, TrainingOrder, TunedStudy
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.folds import Fold, forward_folds
from include.lifecycle.training.pipelines import build_pipeline, feature_table, labels_of, predictions_of
from include.lifecycle.training.search import chosen, suggest
from include.lifecycle.training.study import (
    WORKER,
    create_study,
    finished_trials,
    give_back,
    load_study,
    next_trial,
    study_calls,
)
from include.lifecycle.training.tracking import TrialLog, open_parent_run

if TYPE_CHECKING:
    import pandas as pd
    from optuna import Study, Trial


@dataclass(frozen=True)
class TuningData:
    """Rows that trials see: feature table (n, columns), labels (n,) and the folds over them."""

    table: pd.DataFrame
    labels: Labels
    folds: list[Fold]


def open_study(spec: ModelSpec, rt: Runtime, run: RunContext, order: TrainingOrder, prepared: PreparedData) -> StudyPlan:
    """Make study, experiment and parent run, or find them again; check first that the prepared rows leave a fold to score on."""
    tuning_data(spec, prepared)
    trials = int(order.overrides.get("trials", spec.training.trials))
    name = f"{spec.name}/{run.run_id}"
    maximize = objective_metric(spec).greater_is_better
    create_study(rt, name, maximize=maximize, training=spec.training, trials=trials)
    experiment, parent = open_parent_run(spec, rt, run, order)
    workers = min(spec.training.workers, trials)
    return StudyPlan(study=name, experiment_id=experiment, parent_run_id=parent, workers=workers, trials=trials)


def run_trials(spec: ModelSpec, rt: Runtime, run: RunContext, plan: StudyPlan, prepared: PreparedData, worker: int) -> TunedStudy:
    """Run trials as worker number `worker` until the study holds `plan.trials` finished ones, or `training.timeout` is over.

    Raises:
        SourceUnavailableError: study database or MLflow did not answer; a rerun continues to the same total.
        DataInvalidError: the rows leave no fold in which the classes can be learnt and scored.
    """
    import optuna
    from threadpoolctl import threadpool_limits

    data, metric = tuning_data(spec, prepared), objective_metric(spec)
    log = TrialLog(rt, plan, spec.objective.metric, spec.training)
    deadline = time.monotonic() + spec.training.timeout.total_seconds()
    with study_calls(rt), threadpool_limits(spec.training.threads):
        study = load_study(rt, plan.study)
        done = sum(trial.user_attrs.get(WORKER) == worker for trial in study.get_trials(deepcopy=False))
        # another seed after a restart, else the sampler would repeat the points of its first life
        study.sampler = optuna.samplers.TPESampler(seed=spec.training.seed + 1000 * worker + done, constant_liar=True)
        give_back(rt, study, worker)
        log.read()
        _log_own(study, log, worker)
        while time.monotonic() < deadline and (trial := next_trial(rt, study, worker, plan.trials)) is not None:
            _run_trial(spec, study, trial, data, metric)
            _log_own(study, log, worker)
        return _summary(spec, study, plan, worker)


def tuning_data(spec: ModelSpec, prepared: PreparedData) -> TuningData:
    """A hash sample of at most `training.tuning_rows` training rows, and the folds that can tell models apart."""
    import pandas as pd

    rows = pd.read_parquet(prepared.train)
    rows = rows[sample_mask(rows[spec.data.key].astype(str), spec.training.tuning_rows)]
    times = rows[spec.data.event_time].dt.tz_convert(None).to_numpy(dtype="datetime64[us]")
    labels = labels_of(spec, rows)
    try:
        found = forward_folds(times, spec.training.folds, spec.labels.mature_after)
    except DataInvalidError as problem:
        raise DataInvalidError(f"model {spec.name}, training.folds {spec.training.folds}: {problem}") from None
    usable = [fold for fold in found if _tells(spec, labels, fold)]
    if not usable:
        raise DataInvalidError(
            f"model {spec.name}: none of {len(found)} folds holds the classes on both sides ({len(rows)} rows)"
        )
    return TuningData(feature_table(spec.features, rows), labels, usable)


def _tells(spec: ModelSpec, labels: Labels, fold: Fold) -> bool:
    """Whether a fold's scores say something: two classes or more are to be told apart, and training saw them all."""
    if spec.objective.task == "regression":
        return True
    asked, known = set(labels[fold.validation].tolist()), set(labels[fold.train].tolist())
    return len(asked) > 1 and asked <= known


def _run_trial(spec: ModelSpec, study: Study, trial: Trial, data: TuningData, metric: Metric) -> None:
    """Score one point fold by fold; a trial that falls behind the median of the others is pruned."""
    from optuna.trial import TrialState

    algorithm, params = suggest(trial, spec.training)
    scores: list[float] = []
    for step, fold in enumerate(data.folds):
        pipeline = build_pipeline(spec, algorithm, params)
        pipeline.fit(data.table.iloc[fold.train], data.labels[fold.train])
        predicted = predictions_of(spec, pipeline, data.table.iloc[fold.validation])
        scores.append(_defined(metric.score(data.labels[fold.validation].astype(np.float64), predicted)))
        trial.report(float(np.mean(scores)), step)
        if step < len(data.folds) - 1 and trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
            return
    study.tell(trial, float(np.mean(scores)))


def _defined(score: float) -> float:
    """F1 of a model that never acts has no value; it found nothing, so it counts as 0."""
    return 0.0 if np.isnan(score) else score


def _log_own(study: Study, log: TrialLog, worker: int) -> None:
    for trial in finished_trials(study):
        if trial.user_attrs.get(WORKER) == worker:
            log.write(trial)


def _summary(spec: ModelSpec, study: Study, plan: StudyPlan, worker: int) -> TunedStudy:
    finished = finished_trials(study)
    own = sum(trial.user_attrs.get(WORKER) == worker for trial in finished)
    best_value, best_params = None, {}
    if any(trial.state.name == "COMPLETE" for trial in finished):
        algorithm, params = chosen(study.best_trial, spec.training)
        best_value, best_params = study.best_value, {"algorithm": algorithm, **params}
    return TunedStudy(study=plan.study, worker=worker, trials=own, best_value=best_value, best_params=best_params)
