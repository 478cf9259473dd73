"""Attributions: equal to theory and to reference implementations, found when another feature takes over, quiet otherwise."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.lifecycle.monitoring.inputs.attribution import cells_of, check_attribution, main_effects, ranking_gain
from include.lifecycle.monitoring.inputs.reference import FeatureCells
from include.lifecycle.verdicts import Outcome
from tests.unit.lifecycle.monitoring.examples import START, as_predictions, make_spec, make_table

LIVE = START + timedelta(days=200)


def live(change=None, *, days=4, seed=21):
    frame, honest = make_table(days, start=LIVE, per_day=300, seed=seed)
    if change is not None:
        frame, honest = change(frame, honest)
    return as_predictions(frame, honest, days=days, start=LIVE)


def test_main_effects_are_sobols_indices_of_a_linear_model():
    random = np.random.default_rng(1)
    columns = random.uniform(size=(50_000, 3))
    outputs = (columns @ np.array([3.0, 1.0, 0.0]))[:, None]
    shares = [main_effects((column * 40).astype(np.int64), outputs, 40) for column in columns.T]
    assert shares == pytest.approx([0.9, 0.1, 0.0], abs=0.01)  # 9 : 1 of the variance


def test_many_cells_explain_nothing_by_chance():
    random = np.random.default_rng(2)
    found = [main_effects(random.integers(0, 100, 500), random.normal(size=(500, 1)), 100) for _ in range(200)]
    assert np.mean(found) < 0.03  # without the correction: 0.2


def test_constants_and_single_rows_have_no_attribution():
    cells = np.zeros(10, dtype=np.int64)
    assert main_effects(cells, np.ones((10, 1)), 1) == 0.0
    assert np.isnan(main_effects(cells[:1], np.ones((1, 1)), 1))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.001, 1), min_size=2, max_size=12), st.randoms(use_true_random=False))
def test_the_gain_is_scikit_learns_ndcg(reference, random):
    from sklearn.metrics import ndcg_score

    current = [random.random() for _ in reference]
    found = ranking_gain(np.array(reference), np.array(current))
    assert found == pytest.approx(ndcg_score([reference], [current]), abs=1e-9)
    assert 0 < found <= 1
    assert ranking_gain(np.array(reference), np.array(reference)) == pytest.approx(1)


def test_cells_of_values_that_the_reference_does_not_know():
    cells, size = cells_of(FeatureCells(edges=[1.0, 2.0]), np.array([0.5, 1.5, 9.0, np.nan]))
    assert (cells.tolist(), size) == ([0, 1, 2, 3], 4)
    cells, size = cells_of(FeatureCells(categories=["Oslo"]), np.array(["Oslo", "Paris", None], dtype=object))
    assert (cells.tolist(), size) == ([0, 1, 2], 3)


def test_quiet_windows_pass_and_hardly_ever_fail(spec, profile):
    outcomes = [check_attribution(spec, profile, live(days=1, seed=300 + seed))[0].outcome for seed in range(150)]
    assert set(outcomes) == {Outcome.PASS}


def test_another_feature_that_leads_is_attribution_drift(spec, profile):
    def calm(frame, honest):
        warmth = np.random.default_rng(3).normal(15, 25, len(frame))  # wind hardly varies any more, warmth does
        wind = 6 + (frame["wind"] - 6) * 0.05
        logit = 0.35 * (wind - 6) - 0.05 * (warmth - 15) - 0.8
        return frame.assign(wind=wind, warmth=warmth), (1 / (1 + np.exp(-logit))).to_numpy()

    (verdict,) = check_attribution(spec, profile, live(calm))
    assert verdict.failed
    assert verdict.evidence["features"]["warmth"]["share"] > 0.7 > verdict.evidence["features"]["warmth"]["reference"]
    assert verdict.evidence["ndcg"] < 0.9
    assert "warmth leads, in the hold-out wind" in verdict.reason


def test_it_is_silent_when_off_and_inconclusive_when_it_cannot_tell(spec, profile):
    assert check_attribution(make_spec(monitoring={"attribution": {"enabled": False}}), profile, live()) == []
    assert check_attribution(spec, profile.model_copy(update={"inputs": None}), live()) == []
    strict = make_spec(monitoring={"minimum_rows": 100_000})
    (few,) = check_attribution(strict, profile, live())
    (faulty,) = check_attribution(spec, profile, live(), frozenset({"wind"}))
    (flat,) = check_attribution(spec, profile, live(lambda frame, honest: (frame, np.full(len(frame), np.nan))))
    assert {few.outcome, faulty.outcome, flat.outcome} == {Outcome.INCONCLUSIVE}
