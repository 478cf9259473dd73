"""Learning on: new rows change the model in the direction they point to, old trees stay, columns stay as they were."""

from __future__ import annotations

import numpy as np
import pytest

from include.lifecycle.data.targets import labels_of
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.incremental import add_to, trees_of
from include.lifecycle.training.parameters import LEARNS_ON
from include.lifecycle.training.pipelines import build_pipeline, feature_table, predictions_of
from include.lifecycle.training.search import start_of
from include.serving.trusted_types import load_trusted
from tests.unit.lifecycle.training.rows import BINARY, REGRESSION, trips
from tests.unit.lifecycle.training.spec_for_tests import make_spec

CASES = [(spec, family) for spec in (BINARY, REGRESSION) for family in LEARNS_ON]


def fitted(spec: ModelSpec, family: str, rows):
    return build_pipeline(spec, family, start_of(spec.training, family)).fit(
        feature_table(spec.features, rows), labels_of(spec, rows)
    )


@pytest.mark.parametrize(("spec", "family"), CASES)
def test_new_rows_with_another_truth_are_learnt(tmp_path, spec: ModelSpec, family: str):
    import skops.io

    skops.io.dump(fitted(spec, family, trips(2000)), tmp_path / "model.skops")
    pipeline = load_trusted(tmp_path / "model.skops")  # as the champion comes back
    new = trips(3000, seed=2)
    turned = new["hour"].astype(int) <= 15  # the busy hours moved
    new["late"], new["delay"] = (turned | (new["late"] == 1)).astype("int8"), 20.0 * turned + new["delay"]
    table, labels = feature_table(spec.features, new), labels_of(spec, new)
    old_trees, prepare = trees_of(pipeline[-1]), pipeline[:-1].transform(table.head(50))
    before = np.mean((predictions_of(spec, pipeline, table) - labels) ** 2)
    add_to(spec, pipeline, new, labels)
    after = np.mean((predictions_of(spec, pipeline, table) - labels) ** 2)
    assert after < 0.9 * before
    assert trees_of(pipeline[-1]) == old_trees + spec.training.incremental.new_trees
    assert np.array_equal(pipeline[:-1].transform(table.head(50)), prepare)
    skops.io.dump(pipeline, tmp_path / "next.skops")
    again = predictions_of(spec, load_trusted(tmp_path / "next.skops"), table)
    assert np.array_equal(again, predictions_of(spec, pipeline, table))


@pytest.mark.parametrize(("spec", "family"), CASES)
def test_learning_on_can_be_repeated_bit_by_bit(spec: ModelSpec, family: str):
    new = trips(900, seed=3)
    table = feature_table(spec.features, trips(400, seed=4))
    found = []
    for _ in range(2):
        pipeline = fitted(spec, family, trips(900))
        add_to(spec, pipeline, new, labels_of(spec, new))
        found.append(predictions_of(spec, pipeline, table).tobytes())
    assert found[0] == found[1]


def test_a_forest_drops_its_oldest_trees():
    spec = make_spec(training={"incremental": {"new_trees": 10, "most_trees": 85}})
    pipeline = fitted(spec, "random_forest", trips(600))
    oldest = pipeline[-1].estimators_[:5]
    kept = list(pipeline[-1].estimators_[5:])
    new = trips(600, seed=2)
    add_to(spec, pipeline, new, labels_of(spec, new))
    assert trees_of(pipeline[-1]) == pipeline[-1].n_estimators == 85
    assert pipeline[-1].estimators_[:75] == kept
    assert not any(tree in pipeline[-1].estimators_ for tree in oldest)
    assert trees_of(object()) is None
