"""The digest is made of what a scorer saw: one that drops, reorders or repeats rows cannot hide it."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from include.lifecycle.errors import LifecycleError
from include.lifecycle.evaluation.champion import Champion, Demand, face, judge_against, proven_better
from include.lifecycle.evaluation.identity import Scored, assert_same_rows, scored_rows
from include.lifecycle.evaluation.metrics import objective_metric
from include.lifecycle.registry.scoring import describe
from tests.unit.lifecycle.evaluation.cases import FIRST, scored, spec_of, trips

SPEC = spec_of()
FRAME, P = trips()


def champion(fit_until: datetime = FIRST) -> Champion:
    engine: Any = SimpleNamespace()
    return Champion(3, fit_until, "random_forest", "0" * 64, engine, describe(SPEC, version=3, engine="onnx"))


def in_batches(change: Any = lambda rows: rows):
    def scorer(frame):
        for start in range(0, len(frame), 500):
            rows = change(frame.iloc[start : start + 500])
            yield rows, rows["wind"].to_numpy() / 100

    return scorer


def test_an_honest_scorer_has_the_samples_digest() -> None:
    facing = face(SPEC, champion(), FRAME, scored(FRAME, P), FIRST, in_batches())
    assert len(facing.new) == len(facing.old) == facing.sample.rows == len(FRAME) - 1, "the row at fit_until is no newer one"
    assert facing.evidence["digests"] == {"challenger": facing.sample.digest, "champion": facing.sample.digest}
    np.testing.assert_array_equal(facing.new, P[1:])
    np.testing.assert_array_equal(facing.old, FRAME["wind"].to_numpy()[1:] / 100)


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.iloc[:-1],
        lambda rows: rows.iloc[::-1],
        lambda rows: rows.iloc[[0, *range(len(rows) - 1)]],
        lambda rows: rows.assign(late=0),
    ],
    ids=["drops a row", "another order", "repeats a row", "other labels"],
)
def test_a_scorer_that_saw_other_rows_is_found_out(change: Any) -> None:
    with pytest.raises(LifecycleError, match="different rows or in another order"):
        face(SPEC, champion(), FRAME, scored(FRAME, P), FIRST, in_batches(change))
    lying = scored_rows(SPEC, in_batches(change), FRAME)
    with pytest.raises(LifecycleError, match="different rows or in another order"):
        face(SPEC, champion(), FRAME, lying, FIRST, in_batches())


def test_one_prediction_per_row() -> None:
    def short(frame):
        yield frame, np.zeros(len(frame) - 1)

    with pytest.raises(LifecycleError, match="1799 predictions for 1800 rows"):
        scored_rows(SPEC, short, FRAME)


def test_only_rows_after_both_fits_count() -> None:
    late = FIRST + timedelta(days=20)
    facing = face(SPEC, champion(late), FRAME, scored(FRAME, P), FIRST, in_batches())
    assert facing.rows["starts_at"].min() > late
    assert facing.evidence["after"] == late.isoformat()
    assert facing.sample.blocks == 10


def test_no_common_row_is_inconclusive_not_an_error() -> None:
    facing = face(SPEC, champion(FIRST + timedelta(days=99)), FRAME, scored(FRAME, P), FIRST, in_batches())
    (verdict,) = judge_against(facing, [Demand(objective_metric(SPEC), 0.005, "a test")])
    assert verdict.outcome == "inconclusive"
    assert not proven_better(SPEC, facing)


def test_proven_is_a_gain_above_zero() -> None:
    noise = np.random.default_rng(3).random(len(P))
    weak, strong = scored(FRAME, noise), scored(FRAME, P)

    def against(own: Scored, other: np.ndarray) -> bool:
        def scorer(frame):
            yield frame, other[-len(frame) :]

        return proven_better(SPEC, face(SPEC, champion(), FRAME, own, FIRST, scorer))

    assert against(strong, noise)
    assert not against(weak, P)
    assert not against(strong, P)
    assert proven_better(SPEC, None), "the first version is the anchor"


def test_the_message_names_the_sides() -> None:
    with pytest.raises(LifecycleError, match="challenger: 3 rows, sha256 aa; champion: 2 rows"):
        assert_same_rows("m", {"challenger": ("aa", 3), "champion": ("aa", 2)})
