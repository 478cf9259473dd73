"""Stage tune: mapped workers add trials to one study until it holds as many as planned, or time or patience is over.

open_study (inside prepare_data) decides how the training goes (way.py) and makes study, experiment and parent run; run_trials is
one worker (workers.py hands out trials, scoring.py scores them); fitting.py reads the winner.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import numpy as np

from include.lifecycle.evaluation.metrics import objective_metric
from include.lifecycle.results import PreparedData, StudyPlan, TrainingOrder, TunedStudy
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.scoring import FoldScorer, TuningData, tuning_data
from include.lifecycle.training.search import chosen, suggest
from include.lifecycle.training.study import create_study, finished_trials, load_study, study_calls
from include.lifecycle.training.threads import native_threads
from include.lifecycle.training.tracking import TrialLog, open_parent_run
from include.lifecycle.training.way import choose_way
from include.lifecycle.training.workers import WORKER, Ending, Heartbeat, deadline_of, give_back, next_turn

if TYPE_CHECKING:
    from optuna import Study, Trial

__all__ = ["TuningData", "open_study", "run_trials", "tuning_data"]

STARTUP_TRIALS = 10  # points that the sampler draws at random before it models any (Optuna's own default)
_WAIT = 1.0  # wall seconds between two looks at trials that others run
_log = logging.getLogger(__name__)


def open_study(spec: ModelSpec, rt: Runtime, run: RunContext, order: TrainingOrder, prepared: PreparedData) -> StudyPlan:
    """Decide the method; make study, experiment and parent run, or find them again.

    Raises:
        DataInvalidError: the prepared rows leave no fold to score on, or too few are new for method incremental.
        SpecInvalidError: the method cannot be had (way.py).
        SourceUnavailableError: study database or MLflow did not answer.
    """
    way = choose_way(spec, rt, run, order, prepared)
    for note in way.notes:
        _log.info("%s: %s", spec.name, note)
    experiment, parent = open_parent_run(spec, rt, run, order)
    plan = StudyPlan(
        study=f"{spec.name}/{run.run_id}",
        experiment_id=experiment,
        parent_run_id=parent,
        workers=1,
        trials=0,
        method=way.method,
        base_version=way.base_version,
        notes=way.notes,
    )
    if way.method != "full":
        return plan
    tuning_data(spec, prepared)
    trials = int(order.overrides.get("trials", spec.training.trials))
    maximize = objective_metric(spec).greater_is_better
    create_study(rt, plan.study, spec.training, way.points, maximize=maximize, trials=trials)
    return plan.model_copy(update={"workers": min(spec.training.workers, trials), "trials": trials})


def run_trials(spec: ModelSpec, rt: Runtime, run: RunContext, plan: StudyPlan, prepared: PreparedData, worker: int) -> TunedStudy:
    """Run trials as worker number `worker` until the study holds `plan.trials` finished ones, or it is over otherwise.

    A training that tunes nothing says so and is done at once.

    Raises:
        SourceUnavailableError: study database or MLflow did not answer; a rerun continues to the same total.
        DataInvalidError: the rows leave no fold in which both classes can be learnt and scored.
    """
    if plan.method != "full":
        said = "; ".join(plan.notes)
        _log.info("%s: %s", spec.name, said)
        return TunedStudy(study=plan.study, worker=worker, trials=0, best_value=None, best_params={}, reason=said)
    import optuna

    with study_calls(rt), native_threads(spec.training.threads):
        study = load_study(rt, plan.study, spec.training)
        deadline = deadline_of(rt, study, spec.training)
        log = TrialLog(rt, plan, spec.objective.metric, spec.training)
        give_back(rt, study, worker, spec.training)
        log.read()
        log_own(study, log, worker)
        done = sum(trial.user_attrs.get(WORKER) == worker for trial in study.get_trials(deepcopy=False))
        # another seed after a restart, else the sampler would repeat the points of its first life
        seed = spec.training.seed + 1000 * worker + done
        study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS, constant_liar=True)
        over = _work(spec, rt, study, plan, prepared, log, worker, deadline)
        return _summary(spec, study, plan, worker, over)


def _work(
    spec: ModelSpec,
    rt: Runtime,
    study: Study,
    plan: StudyPlan,
    prepared: PreparedData,
    log: TrialLog,
    worker: int,
    deadline: float,
) -> Ending:
    """Trial after trial, until there is nothing more to take; trials that others run are waited for."""
    scorer = FoldScorer(spec, tuning_data(spec, prepared))
    pulse = Heartbeat(study, spec.training.heartbeat.interval.total_seconds())
    while True:
        turn = next_turn(rt, study, worker, spec.training, total=plan.trials, deadline=deadline)
        if turn.over is not None:
            _log.info("%s: tuning is over by %s", spec.name, turn.over)
            return turn.over
        if turn.trial is None:
            time.sleep(_WAIT)
            continue
        with pulse.of(turn.trial):
            _run_trial(spec, study, turn.trial, scorer)
        log_own(study, log, worker)


def _run_trial(spec: ModelSpec, study: Study, trial: Trial, scorer: FoldScorer) -> None:
    """Score one point fold by fold; the pruner may stop it before the last. A trial that was given away meanwhile is dropped."""
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    try:
        algorithm, params = suggest(trial, spec.training)
        scores: list[float] = []
        for step in range(len(scorer.data.folds)):
            scores.append(scorer.score(step, algorithm, params))
            trial.report(float(np.mean(scores)), step)
            if step < len(scorer.data.folds) - 1 and trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
                return
        study.tell(trial, float(np.mean(scores)), skip_if_finished=True)
    except UpdateFinishedTrialError:
        _log.warning("trial %s was given to another worker while this one was silent", trial.number)


def log_own(study: Study, log: TrialLog, worker: int) -> None:
    """Write this worker's finished trials to MLflow, each once."""
    for trial in finished_trials(study):
        if trial.user_attrs.get(WORKER) == worker:
            log.write(trial)


def _summary(spec: ModelSpec, study: Study, plan: StudyPlan, worker: int, over: Ending) -> TunedStudy:
    finished = finished_trials(study)
    own = sum(trial.user_attrs.get(WORKER) == worker for trial in finished)
    best_value, best_params = None, {}
    if any(trial.state.name == "COMPLETE" for trial in finished):
        algorithm, params = chosen(study.best_trial, spec.training)
        best_value, best_params = study.best_value, {"algorithm": algorithm, **params}
    return TunedStudy(study=plan.study, worker=worker, trials=own, best_value=best_value, best_params=best_params, reason=over)
