"""The Optuna study in PostgreSQL: how it is opened, who may take the next trial, and what a killed worker leaves behind.

The study's own count decides when tuning is over, so workers may die and come back without adding or losing trials.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.runtime import Runtime
from include.lifecycle.sections.training import TrainingSection
from include.lifecycle.training.search import starting_points

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import BaseSampler
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

WORKER = "worker"


def create_study(rt: Runtime, name: str, *, maximize: bool, training: TrainingSection, trials: int) -> None:
    """Make the study unless it is there, with each algorithm's defaults waiting to be tried first."""
    import optuna

    with study_calls(rt):
        direction = "maximize" if maximize else "minimize"
        study = optuna.create_study(study_name=name, storage=_storage(rt), direction=direction, load_if_exists=True)
        for point in starting_points(training)[:trials]:
            study.enqueue_trial(point, skip_if_exists=True)


def load_study(rt: Runtime, name: str, sampler: BaseSampler | None = None) -> Study:
    """The study, with a pruner that stops a trial whose running mean is worse than the median of earlier ones."""
    import optuna

    pruner = optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=0)
    return optuna.load_study(study_name=name, storage=_storage(rt), sampler=sampler, pruner=pruner)


def finished_trials(study: Study) -> list[FrozenTrial]:
    """Trials that count: complete or pruned."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.name in ("COMPLETE", "PRUNED")]


def next_trial(rt: Runtime, study: Study, worker: int, total: int) -> Trial | None:
    """Take a trial, or None when `total` are finished or being run. Workers ask one after the other, so none is run twice."""
    with _alone(rt, study):
        taken = sum(trial.state.name in ("COMPLETE", "PRUNED", "RUNNING") for trial in study.get_trials(deepcopy=False))
        if taken >= total:
            return None
        trial = study.ask()
        trial.set_user_attr(WORKER, worker)
        return trial


def give_back(rt: Runtime, study: Study, worker: int) -> int:
    """Fail the trials that an earlier, killed life of this worker left running; forced points wait to be tried again."""
    from optuna.trial import TrialState

    with _alone(rt, study):
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        # a trial without a worker belongs to nobody alive: taking it and naming the worker happen under this lock
        mine = [trial for trial in running if trial.user_attrs.get(WORKER, worker) == worker]
        for trial in mine:
            study.tell(trial.number, state=TrialState.FAIL)
            if point := trial.system_attrs.get("fixed_params"):
                study.enqueue_trial(point)
        return len(mine)


@contextmanager
def study_calls(rt: Runtime) -> Iterator[None]:
    """Turn a study database that does not answer into SourceUnavailableError."""
    from optuna.exceptions import StorageInternalError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as problem:
        said = str(problem.__cause__ or problem).strip().splitlines()[0]
        raise SourceUnavailableError(f"study database {rt.settings.optuna_url} did not answer: {said}") from problem


@contextmanager
def _alone(rt: Runtime, study: Study) -> Iterator[None]:
    with transaction(rt.engine) as connection:
        lock_model(connection, f"study:{study.study_name}")
        yield


def _storage(rt: Runtime) -> RDBStorage:
    return _storage_of(rt.settings.optuna_url, rt.settings.passfile)


@lru_cache(maxsize=2)
def _storage_of(url: str, passfile: Path | None) -> RDBStorage:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    arguments: dict[str, object] = {"connect_timeout": 5} | ({"passfile": str(passfile)} if passfile else {})
    kwargs = {"connect_args": arguments, "pool_size": 2, "max_overflow": 2, "pool_pre_ping": True}
    return optuna.storages.RDBStorage(url, engine_kwargs=kwargs)
