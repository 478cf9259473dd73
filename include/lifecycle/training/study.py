"""The Optuna study in PostgreSQL: how it is made, opened and read. workers.py says who may take its next trial.

The study's own count decides when tuning is over, so workers may die and come back without adding or losing trials.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.runtime import Runtime
from include.lifecycle.sections.training import TrainingSection

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

FINISHED = ("COMPLETE", "PRUNED")
STARTED = "started"  # the study's attribute: wall time at which its first worker began


def create_study(
    rt: Runtime, name: str, training: TrainingSection, points: Sequence[dict[str, Any]], *, maximize: bool, trials: int
) -> None:
    """Make the study unless it is there, with the first `trials` of `points` waiting to be tried before anything else.

    Made again by a new try of its stage, it keeps its trials, and the time of the tuning starts anew.
    """
    import optuna

    with study_calls(rt):
        direction = "maximize" if maximize else "minimize"
        study = optuna.create_study(study_name=name, storage=storage_of(rt, training), direction=direction, load_if_exists=True)
        study.set_user_attr(STARTED, None)
        for point in points[:trials]:
            study.enqueue_trial(point, skip_if_exists=True)


def load_study(rt: Runtime, name: str, training: TrainingSection, sampler: BaseSampler | None = None) -> Study:
    """The study with the pruner that the YAML wants; asks for trials only where a sampler is given or randomness may be."""
    import optuna

    return optuna.load_study(study_name=name, storage=storage_of(rt, training), sampler=sampler, pruner=pruner_of(training))


def pruner_of(training: TrainingSection) -> BasePruner:
    """Median: stop below the median of earlier trials; hyperband: bands of trials from which one in `reduction` goes on."""
    from optuna import pruners

    said = training.pruning
    if said.kind == "none":
        return pruners.NopPruner()
    if said.kind == "hyperband":
        return pruners.HyperbandPruner(min_resource=1, max_resource=training.folds, reduction_factor=said.reduction)
    return pruners.MedianPruner(n_startup_trials=said.startup_trials, n_warmup_steps=said.warmup_folds)


def finished_trials(study: Study) -> list[FrozenTrial]:
    """Trials that count: complete or pruned."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.name in FINISHED]


@contextmanager
def study_calls(rt: Runtime) -> Iterator[None]:
    """Turn a study database that does not answer into SourceUnavailableError."""
    from optuna.exceptions import StorageInternalError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as problem:
        said = str(problem.__cause__ or problem).strip().splitlines()[0]
        raise SourceUnavailableError(f"study database {rt.settings.optuna_url} did not answer: {said}") from problem


def storage_of(rt: Runtime, training: TrainingSection) -> RDBStorage:
    """The process's connection to the study database; stale trials are given to others as `training.heartbeat` says."""
    beat = training.heartbeat
    seconds = (int(beat.interval.total_seconds()), int(beat.grace.total_seconds()))
    return _storage_of(rt.settings.optuna_url, rt.settings.passfile, *seconds, beat.retries)


@lru_cache(maxsize=4)
def _storage_of(url: str, passfile: Path | None, interval: int, grace: int, retries: int) -> RDBStorage:
    import optuna

    from include.lifecycle.training.workers import RunAgain

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    arguments: dict[str, object] = {"connect_timeout": 5} | ({"passfile": str(passfile)} if passfile else {})
    kwargs = {"connect_args": arguments, "pool_size": 2, "max_overflow": 2, "pool_pre_ping": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.storages.RDBStorage(
            url,
            engine_kwargs=kwargs,
            heartbeat_interval=interval,
            grace_period=grace,
            heartbeat_stale_trial_callback=RunAgain(retries),
        )
