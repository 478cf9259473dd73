"""Who may take a study's next trial, when tuning is over, and what becomes of a dead worker's trial.

Workers ask one after the other under the study's lock. A worker shows that it lives by a heartbeat in the study database; when it
is silent for `training.heartbeat.grace`, whoever asks next gives its trial back, and the same point is run again.
"""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy.exc import SQLAlchemyError

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.runtime import Runtime
from include.lifecycle.sections.training import TrainingSection
from include.lifecycle.training.study import FINISHED, STARTED

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

WORKER = "worker"
HISTORY = "retry_history"  # Optuna's own name: numbers of the trials that died with this point
Ending = Literal["trials", "timeout", "no_improvement"]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Turn:
    """What a worker does next: run `trial`; or stop, `over` says why; or, with neither, wait for trials that others run."""

    trial: Trial | None = None
    over: Ending | None = None


@dataclass(frozen=True)
class RunAgain:
    """What happens to a trial whose worker died: the same point waits to be run again, at most `retries` times."""

    retries: int

    def __call__(self, study: Study, trial: FrozenTrial) -> None:
        """Enqueue the failed trial's point with whatever of it was chosen already."""
        import optuna

        history = [*trial.system_attrs.get(HISTORY, []), trial.number]
        if len(history) > self.retries:
            _log.warning("trial %s died with its worker %s times; another point is drawn", trial.number, len(history))
            return
        waiting = optuna.create_trial(
            state=optuna.trial.TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            system_attrs={**trial.system_attrs, HISTORY: history},
        )
        study.add_trial(waiting)


def deadline_of(rt: Runtime, study: Study, training: TrainingSection) -> float:
    """Wall time (seconds since 1970) at which tuning is over; the first worker of the study starts it, a rerun finds it."""
    with _alone(rt, study):
        started = study.user_attrs.get(STARTED)
        if started is None:
            study.set_user_attr(STARTED, started := time.time())
    return float(started) + training.timeout.total_seconds()


def next_turn(rt: Runtime, study: Study, worker: int, training: TrainingSection, *, total: int, deadline: float) -> Turn:
    """Take a trial, or learn that there is nothing more to take. Dead workers' trials are given back first."""
    with _alone(rt, study):
        trials = _take_over(study, training)
        finished = sum(trial.state.name in FINISHED for trial in trials)
        if over := _ending(study, trials, finished, training, total=total, deadline=deadline):
            return Turn(over=over)
        if finished + sum(trial.state.name == "RUNNING" for trial in trials) >= total:
            return Turn()
        with warnings.catch_warnings():  # it expects study.optimize, which beats as Heartbeat does
            warnings.filterwarnings("ignore", "Heartbeat of storage", UserWarning)
            trial = study.ask()
        study._storage.record_heartbeat(trial._trial_id)
        trial.set_user_attr(WORKER, worker)
        return Turn(trial)


def give_back(rt: Runtime, study: Study, worker: int, training: TrainingSection) -> int:
    """Free the trials that an earlier, killed life of this worker left running, without waiting for its silence."""
    with _alone(rt, study):
        return _free(study, training, lambda trial: trial.user_attrs.get(WORKER, worker) == worker)


def stalled(trials: list[FrozenTrial], patience: int | None, *, maximize: bool) -> bool:
    """Whether `patience` trials finished after the best one without being better; equal is not better."""
    complete = [trial for trial in trials if trial.state.name == "COMPLETE" and trial.value is not None]
    if patience is None or not complete:
        return False
    sign = 1 if maximize else -1
    best = max(complete, key=lambda trial: (sign * float(trial.value or 0.0), -trial.number))
    found = best.datetime_complete
    later = [trial for trial in trials if trial.state.name in FINISHED and _after(trial.datetime_complete, found)]
    return len(later) >= patience


class Heartbeat:
    """A thread that says every `interval` seconds that this worker's trial is alive."""

    def __init__(self, study: Study, interval: float) -> None:
        self._storage: Any = study._storage
        self._interval = interval
        self._stop = threading.Event()

    @contextmanager
    def of(self, trial: Trial) -> Iterator[None]:
        """Beat while the block runs `trial`."""
        self._stop.clear()
        thread = threading.Thread(target=self._beat, args=(trial._trial_id,), name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _beat(self, trial_id: int) -> None:
        from optuna.exceptions import StorageInternalError

        while not self._stop.wait(self._interval):
            try:
                self._storage.record_heartbeat(trial_id)
            except (StorageInternalError, SQLAlchemyError) as problem:
                _log.warning("no heartbeat for trial %s, the study database did not answer: %s", trial_id, problem)


def _take_over(study: Study, training: TrainingSection) -> list[FrozenTrial]:
    """Give back what silent workers left, and what died between taking a trial and the first sign of life; all trials then."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)
    # taking a trial and naming its worker happen under one lock: a nameless one belongs to nobody alive
    trials: list[FrozenTrial] = study.get_trials(deepcopy=False)
    if any(trial.state.name == "RUNNING" and WORKER not in trial.user_attrs for trial in trials):
        _free(study, training, lambda trial: WORKER not in trial.user_attrs)
        trials = study.get_trials(deepcopy=False)
    return trials


def _free(study: Study, training: TrainingSection, whose: Any) -> int:
    from optuna.trial import TrialState

    freed = [trial for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)) if whose(trial)]
    for trial in freed:
        study.tell(trial.number, state=TrialState.FAIL)
        RunAgain(training.heartbeat.retries)(study, trial)
    return len(freed)


def _ending(
    study: Study, trials: list[FrozenTrial], finished: int, training: TrainingSection, *, total: int, deadline: float
) -> Ending | None:
    if finished >= total:
        return "trials"
    if time.time() >= deadline:
        return "timeout"
    if stalled(trials, training.stop_after_no_improvement, maximize=study.direction.name == "MAXIMIZE"):
        return "no_improvement"
    return None


def _after(moment: Any, other: Any) -> bool:
    return moment is not None and other is not None and moment > other


@contextmanager
def _alone(rt: Runtime, study: Study) -> Iterator[None]:
    with transaction(rt.engine) as connection:
        lock_model(connection, f"study:{study.study_name}")
        yield
