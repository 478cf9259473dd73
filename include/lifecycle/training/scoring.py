"""Scores one point of the search fold by fold. What no point changes, the columns' preparation, is fitted once per fold.

A trial therefore costs its estimator only; the scores are those of fitting the whole pipeline each time (a test compares them).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from include.lifecycle.data.sampling import sample_mask
from include.lifecycle.data.targets import Labels, labels_of
from include.lifecycle.evaluation.metrics import Metric, objective_metric
from include.lifecycle.results import PreparedData
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.cross_validation import folds_of
from include.lifecycle.training.folds import Fold
from include.lifecycle.training.pipelines import build_pipeline, feature_table, predictions_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TuningData:
    """Rows that trials see: feature table (n, columns), labels (n,) and the folds over them."""

    table: pd.DataFrame
    labels: Labels
    folds: list[Fold]


@dataclass(frozen=True)
class _Prepared:
    """One fold's columns, ready for the estimator; stands in a pipeline for the fitted preparation."""

    train: Any
    validation: Any

    def fit(self, table: Any, labels: Any = None) -> _Prepared:
        """Nothing is left to fit."""
        return self

    def transform(self, table: Any) -> Any:
        """The validation rows, whatever is asked."""
        return self.validation


@dataclass
class FoldScorer:
    """Scores algorithms and parameters on the folds of one tuning; keeps each fold's prepared columns."""

    spec: ModelSpec
    data: TuningData
    _ready: dict[tuple[int, str], _Prepared] = field(default_factory=dict)

    def score(self, step: int, algorithm: str, params: dict[str, Any]) -> float:
        """The objective's value on fold `step`; one that is undefined counts as the worst."""
        from sklearn.pipeline import Pipeline

        fold = self.data.folds[step]
        pipeline = build_pipeline(self.spec, algorithm, params)
        ready = self._prepared(step, fold, pipeline[0])
        model = pipeline[-1].fit(ready.train, self.data.labels[fold.train])
        fitted = Pipeline([("prepare", ready), ("model", model)])
        predicted = predictions_of(self.spec, fitted, self.data.table.iloc[fold.validation])
        metric = objective_metric(self.spec)
        return defined(metric, metric.score(self.data.labels[fold.validation].astype(np.float64), predicted))

    def _prepared(self, step: int, fold: Fold, prepare: Any) -> _Prepared:
        key = (step, prepare.__repr__(N_CHAR_MAX=1_000_000))
        if key not in self._ready:
            train = prepare.fit_transform(self.data.table.iloc[fold.train], self.data.labels[fold.train])
            self._ready[key] = _Prepared(train, prepare.transform(self.data.table.iloc[fold.validation]))
        return self._ready[key]


def tuning_data(spec: ModelSpec, prepared: PreparedData) -> TuningData:
    """A hash sample of at most `training.tuning_rows` training rows, and the folds over it.

    Raises DataInvalidError when the rows leave no fold on which a point can be scored.
    """
    import pandas as pd

    rows = pd.read_parquet(prepared.train)
    rows = rows[sample_mask(rows[spec.data.key].astype(str), spec.training.tuning_rows)]
    return TuningData(feature_table(spec.features, rows), labels_of(spec, rows), folds_of(spec, rows))


def defined(metric: Metric, score: float) -> float:
    """F1 of a model that never acts has no value; it found nothing, so it counts as 0, and as infinite where less is better."""
    if not np.isnan(score):
        return score
    return 0.0 if metric.greater_is_better else float("inf")
