"""Trains and judges as the train Dag does, in memory: the same split, search, fit, profile and gates; each moment once.

Left out are gates that need a built artefact (consistency, latency) and the importance of features.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from include.lifecycle.errors import LifecycleError, SpecInvalidError
from include.lifecycle.evaluation.case import Case, Rivals
from include.lifecycle.evaluation.champion import Champion, demands, face
from include.lifecycle.evaluation.decision import Decision, decide
from include.lifecycle.evaluation.evaluate import prior_of
from include.lifecycle.evaluation.identity import Scored, fitted_scorer, scored_rows
from include.lifecycle.evaluation.metrics import objective_metric
from include.lifecycle.evaluation.table import run_gates
from include.lifecycle.monitoring.profile import Profile, build_profile
from include.lifecycle.registry.scoring import describe, fitted_scores
from include.lifecycle.results import PreparedData, TrainingOrder
from include.lifecycle.runtime import RunContext
from include.lifecycle.simulation.history import Floats, History
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.threads import native_threads
from include.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

    from include.serving.engines import Engine


@dataclass(frozen=True, eq=False)
class Trained:
    """A fitted model with what its version would hold; `cpu_seconds` of the training."""

    pipeline: Pipeline
    algorithm: str
    params: dict[str, Any]
    prepared: PreparedData
    holdout: pd.DataFrame
    own: Scored
    profile: Profile
    cpu_seconds: float

    def predict(self, spec: ModelSpec, rows: pd.DataFrame) -> Floats:
        """Predictions of rows (n,)."""
        return fitted_scores(self.pipeline, spec.features, rows)


@dataclass(frozen=True)
class Version:
    """A trained model that took a number."""

    number: int
    trained: Trained
    at: datetime

    def rival(self, spec: ModelSpec) -> Champion:
        """This version as the gates know a champion; it is scored by its pipeline, so no engine is built."""
        told = describe(spec, version=self.number, engine="sklearn")
        unused = cast("Engine", None)
        return Champion(self.number, self.trained.prepared.fit_until, self.trained.algorithm, "simulated", unused, told)


@dataclass
class Trainer:
    """Trains at moments of event time; asked twice for one moment it trains once, whoever asks."""

    history: History
    folder: Path
    trials: int
    _made: dict[datetime, Trained | LifecycleError] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot be replayed."""
        spec = self.history.spec
        if spec.training.entry_point is not None or spec.training.method != "full":
            raise SpecInvalidError(f"{spec.name}: simulate trains by method full and without training.entry_point")
        if spec.objective.task == "multiclass_classification":
            raise SpecInvalidError(f"{spec.name}: simulate knows binary_classification and regression")

    def train(self, as_of: datetime) -> Trained:
        """The model that a training at event time `as_of` gives; LifecycleError as that training would have failed with."""
        if as_of not in self._made:
            try:
                self._made[as_of] = self._train(as_of)
            except LifecycleError as problem:
                self._made[as_of] = problem
        made = self._made[as_of]
        if isinstance(made, LifecycleError):
            raise made
        return made

    def judge(self, trained: Trained, champion: Version | None, cause: dict[str, Any]) -> tuple[list[Verdict], Decision]:
        """All gates that need no artefact, and whether the version may be rolled out."""
        import pandas as pd

        spec, rivals = self.history.spec, Rivals()
        if champion is not None:
            rival, order = champion.rival(spec), self._order(champion.at, cause)
            facing = face(
                spec,
                rival,
                trained.holdout,
                trained.own,
                trained.prepared.fit_until,
                fitted_scorer(spec, champion.trained.pipeline),
            )
            rivals = Rivals(demands(spec, order, trained.algorithm, rival), facing)
        train = pd.read_parquet(trained.prepared.train)
        case = Case(spec, train, trained.holdout, trained.own, prior_of(trained.prepared), rivals)
        verdicts, _ = run_gates(case)
        return verdicts, decide(spec, verdicts, None if champion is None else champion.number)

    def _train(self, as_of: datetime) -> Trained:
        import pandas as pd

        from include.lifecycle.data.preparation import prepare_data
        from include.lifecycle.data.targets import labels_of
        from include.lifecycle.training.pipelines import build_pipeline, feature_table

        spec, history, began = self.history.spec, self.history, time.process_time()
        order, run = self._order(as_of, {}), RunContext(self.history.spec.name, f"{as_of:%Y%m%dT%H%M%S}", "prepare_data")
        prepared = prepare_data(spec, history.rt, run, order, history.fetched(order, self.folder / run.run_id))
        train, holdout = pd.read_parquet(prepared.train), pd.read_parquet(prepared.holdout)
        with native_threads(spec.training.threads):
            algorithm, params = self._search(prepared)
            pipeline = build_pipeline(spec, algorithm, params).fit(feature_table(spec.features, train), labels_of(spec, train))
        spent = time.process_time() - began
        own = scored_rows(spec, fitted_scorer(spec, pipeline), holdout)
        profile = build_profile(spec, train, holdout, own.p, seed=spec.training.seed)
        return Trained(pipeline, algorithm, params, prepared, holdout, own, profile, spent)

    def _search(self, prepared: PreparedData) -> tuple[str, dict[str, Any]]:
        """The best of `trials` points, each algorithm's start first; a study in memory, seeded by the spec."""
        import optuna

        from include.lifecycle.training.scoring import FoldScorer, tuning_data
        from include.lifecycle.training.search import chosen, starting_points, suggest

        spec = self.history.spec
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        direction = "maximize" if objective_metric(spec).greater_is_better else "minimize"
        study = optuna.create_study(direction=direction, sampler=optuna.samplers.TPESampler(seed=spec.training.seed))
        for point in starting_points(spec.training)[: self.trials]:
            study.enqueue_trial(point)
        scorer = FoldScorer(spec, tuning_data(spec, prepared))
        for _ in range(self.trials):
            trial = study.ask()
            algorithm, params = suggest(trial, spec.training)
            scores: Sequence[float] = [scorer.score(step, algorithm, params) for step in range(len(scorer.data.folds))]
            study.tell(trial, float(np.mean(scores)))
        return chosen(study.best_trial, spec.training)

    def _order(self, as_of: datetime, cause: dict[str, Any]) -> TrainingOrder:
        spec = self.history.spec
        return TrainingOrder(
            model=spec.name,
            request_ids=[],
            source="signal" if cause else "schedule",
            reason="simulation",
            cause=cause,
            as_of=as_of,
            window_start=as_of - spec.data.window,
            window_end=as_of - spec.labels.mature_after,
        )
