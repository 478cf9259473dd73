"""Cached columns give the very scores of whole pipelines; fits repeat bit by bit; undefined scores are the worst."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from include.lifecycle.data.targets import labels_of
from include.lifecycle.evaluation.metrics import objective_metric
from include.lifecycle.rules.training import ESTIMATORS_OF
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.pipelines import build_pipeline, feature_table, predictions_of
from include.lifecycle.training.scoring import FoldScorer, defined, tuning_data
from include.lifecycle.training.search import start_of
from tests.unit.lifecycle.training.rows import BINARY, REGRESSION, prepared, trips
from tests.unit.lifecycle.training.spec_for_tests import make_spec

FAMILIES = [(spec, name) for spec in (BINARY, REGRESSION) for name in sorted(ESTIMATORS_OF[spec.objective.task])]


@pytest.mark.parametrize(("spec", "family"), FAMILIES)
def test_scores_are_those_of_the_whole_pipeline(tmp_path: Path, spec: ModelSpec, family: str):
    data = tuning_data(spec, prepared(tmp_path, trips(1500), spec))
    scorer, params = FoldScorer(spec, data), start_of(spec.training, family)
    for _ in range(2):  # the second time from what was kept
        for step, fold in enumerate(data.folds):
            whole = build_pipeline(spec, family, params).fit(data.table.iloc[fold.train], data.labels[fold.train])
            predicted = predictions_of(spec, whole, data.table.iloc[fold.validation])
            expected = objective_metric(spec).score(data.labels[fold.validation].astype(np.float64), predicted)
            assert scorer.score(step, family, params) == expected


@pytest.mark.parametrize(("spec", "family"), FAMILIES)
def test_the_same_rows_seed_and_threads_give_the_same_predictions_bit_by_bit(spec: ModelSpec, family: str):
    rows, fresh = trips(1200), feature_table(spec.features, trips(700, seed=5))
    table, labels = feature_table(spec.features, rows), labels_of(spec, rows)
    first, second = (
        predictions_of(spec, build_pipeline(spec, family, start_of(spec.training, family)).fit(table, labels), fresh)
        for _ in range(2)
    )
    assert first.tobytes() == second.tobytes()


def test_trees_and_linear_models_keep_columns_of_their_own(tmp_path: Path):
    scorer = FoldScorer(BINARY, tuning_data(BINARY, prepared(tmp_path, trips(900))))
    for family in ("logistic_regression", "random_forest", "hist_gradient_boosting"):
        scorer.score(0, family, start_of(BINARY.training, family))
    assert len(scorer._ready) == 2


def test_an_undefined_score_is_the_worst_one():
    up, down = objective_metric(BINARY), objective_metric(make_spec(objective={"metric": "brier_score"}))
    assert (defined(up, float("nan")), defined(up, 0.4)) == (0.0, 0.4)
    assert (defined(down, float("nan")), defined(down, 0.4)) == (float("inf"), 0.4)
