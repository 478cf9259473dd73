"""Consistency, latency and importance ask what would serve: a real fitted pipeline, exported and loaded as the server does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io

from include.lifecycle.evaluation.artefact import Served, built
from include.lifecycle.evaluation.consistency import consistency_gates, perturbed
from include.lifecycle.evaluation.importance import Importance, importance_gate, importance_of
from include.lifecycle.evaluation.latency import latency_gate
from include.lifecycle.evaluation.sample import sample_of
from include.lifecycle.registry.scoring import fitted_scores
from include.lifecycle.results import TrainedModel
from include.lifecycle.storage import sha256_of
from include.lifecycle.training.pipelines import build_pipeline, feature_table, labels_of
from tests.unit.lifecycle.evaluation.cases import spec_of, trips

SPEC = spec_of()
TRAIN, HOLDOUT = trips(40, 60)[0], trips(20, 60, seed=2)[0]


@pytest.fixture(scope="module")
def pipeline():
    built_pipeline = build_pipeline(SPEC, "logistic_regression", {"C": 1.0})
    return built_pipeline.fit(feature_table(SPEC.features, TRAIN), labels_of(SPEC, TRAIN))


@pytest.fixture(scope="module")
def served(pipeline, tmp_path_factory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("fitted")
    skops.io.dump(pipeline, folder / "model.skops")
    digest = sha256_of(folder / "model.skops")
    trained = TrainedModel(folder=folder, digest=digest, algorithm="logistic_regression", params={}, run_id="x", seconds=1)
    with built(SPEC, trained, pipeline, TRAIN, HOLDOUT, fitted_scores(pipeline, SPEC.features, HOLDOUT)) as found:
        yield found


class Moody:
    """An engine whose answer depends on what it was asked before, or with."""

    blocking = False

    def __init__(self, kind: str) -> None:
        self.kind, self.calls = kind, 0

    def predict(self, columns: dict[str, list[object]], rows: int) -> np.ndarray:
        self.calls += 1
        wind = np.nan_to_num(np.array(columns["wind"], dtype=float))
        if self.kind == "drifts":
            return np.full(rows, 0.5) + 2e-4 * self.calls
        if self.kind == "looks at its neighbours":
            return np.clip(wind / 50 + wind.mean() / 1000, 0, 1)
        return (wind * 1e6 % 1.0).clip(0, 1)  # "is brittle"


def outcomes(spec, served: Served, rows: pd.DataFrame = HOLDOUT) -> dict[str, str]:
    found = consistency_gates(spec, served, sample_of(spec, rows), rows)
    return {verdict.check.partition(":")[2]: verdict.outcome.value for verdict in found}


def test_the_exported_model_is_consistent(served: Served) -> None:
    assert served.serving.engine == "onnx"
    assert outcomes(SPEC, served) == dict.fromkeys(("repeated", "permuted", "single", "perturbed"), "pass")


@pytest.mark.parametrize(
    ("kind", "failing"),
    [
        ("drifts", {"repeated", "permuted", "single"}),
        ("looks at its neighbours", {"single"}),
        ("is brittle", {"perturbed"}),
    ],
)
def test_inconsistent_models_fail_where_they_are(served: Served, kind: str, failing: set[str]) -> None:
    found = outcomes(SPEC, replace(served, engine=Moody(kind)))
    assert {name for name, outcome in found.items() if outcome == "fail"} == failing


def test_a_regressions_differences_count_in_target_deviations(served: Served) -> None:
    """Targets are large numbers: a difference of a millionth of their spread is rounding, one of their size is not."""

    class Rounding(Moody):
        def predict(self, columns: dict[str, list[object]], rows: int) -> np.ndarray:
            wind = np.nan_to_num(np.array(columns["wind"], dtype=float))
            return 1e4 * wind + (self.wobble if rows == 1 else 0.0)

    spec = spec_of("regression")
    rows = HOLDOUT.assign(late=1e4 * HOLDOUT["wind"])
    for wobble, expected in ((0.1, "pass"), (1e4, "fail")):
        engine = Rounding("rounds")
        engine.wobble = wobble
        assert outcomes(spec, replace(served, engine=engine), rows)["single"] == expected


def test_few_rows_tell_nothing(served: Served) -> None:
    assert set(outcomes(SPEC, served, HOLDOUT.head(29)).values()) == {"inconclusive"}


def test_perturbation_moves_numbers_only_and_keeps_nulls() -> None:
    rows = HOLDOUT.assign(wind=HOLDOUT["wind"].where(HOLDOUT.index > 5))
    moved = perturbed(spec_of(consistency={"noise": 0.1}), rows)
    assert moved["wind"].isna().sum() == 6
    shift = (moved["wind"] - rows["wind"]).std() / rows["wind"].std()
    assert shift == pytest.approx(0.1, rel=0.1)
    pd.testing.assert_series_equal(moved["carrier"], rows["carrier"])


def test_latency_is_within_a_generous_and_beyond_a_tiny_budget(served: Served) -> None:
    def judged(p95: timedelta, rows: int = 100):
        (found,) = latency_gate(spec_of(latency={"p95": p95, "rows": rows}), served, HOLDOUT)
        return found

    generous = judged(timedelta(seconds=1))
    assert (generous.outcome, generous.evidence["rows"]) == ("pass", 100)
    assert generous.evidence["artefact_sha256"] == served.digest
    assert generous.evidence["machine"]
    assert judged(timedelta(microseconds=1)).outcome == "fail"
    assert judged(timedelta(seconds=1), rows=50).outcome == "inconclusive", "no order statistic bounds a p95 of 50"
    assert judged(timedelta(microseconds=1), rows=50).outcome == "fail", "its lower bound is known"


def importance(pipeline) -> Importance:
    return importance_of(SPEC, lambda rows: fitted_scores(pipeline, SPEC.features, rows), sample_of(SPEC, HOLDOUT), HOLDOUT)


def test_importance_finds_what_matters(pipeline) -> None:
    found = importance(pipeline)
    assert next(one.feature for one in found.features) == "wind"
    first = found.features[0]
    assert first.lower is not None
    assert first.lower > 0.1
    noise = next(one for one in found.features if one.feature == "distance")
    assert noise.lower is not None
    assert noise.lower <= 0.02
    assert Importance.model_validate_json(found.to_json()) == found
    assert found == importance(pipeline), "seeded"


def test_importance_agrees_with_scikit_learn(pipeline) -> None:
    from sklearn.inspection import permutation_importance

    table, y = feature_table(SPEC.features, HOLDOUT), HOLDOUT["late"].to_numpy()
    wanted = permutation_importance(pipeline, table, y, scoring="roc_auc", n_repeats=5, random_state=0)
    mine = {one.feature: one.drop for one in importance(pipeline).features}
    for name, mean in zip(table.columns, wanted.importances_mean, strict=True):
        assert mine[name] == pytest.approx(mean, abs=0.02), name


def test_a_feature_that_carries_everything_is_a_suspect(pipeline) -> None:
    found, sample = importance(pipeline), sample_of(SPEC, HOLDOUT)
    (fine,) = importance_gate(SPEC, found, sample)
    assert fine.outcome == "pass"
    (suspect,) = importance_gate(spec_of(importance={"max_share": 0.5}), found, sample)
    assert suspect.outcome == "fail"
    assert suspect.reason.startswith("wind carries")
