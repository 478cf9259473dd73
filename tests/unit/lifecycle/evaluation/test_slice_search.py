"""Discovered slices: a planted one is found, none is found in noise more often than the level says."""

from __future__ import annotations

import numpy as np
import pytest

from include.lifecycle.evaluation.sample import sample_of
from include.lifecycle.evaluation.slice_search import row_losses, slice_search
from tests.unit.lifecycle.evaluation.cases import spec_of, trips

SPEC = spec_of()


def searched(frame, values, spec=SPEC, against="rest"):
    return slice_search(spec, sample_of(spec, frame), frame, values, against=against)


def test_a_planted_slice_is_found_and_confirmed() -> None:
    frame, p = trips(40, 100)
    values = row_losses(SPEC, frame["late"].to_numpy(float), p)
    values = values + np.where(frame["carrier"] == "B6", 0.15, 0.0)
    found = searched(frame, values)
    assert found.outcome == "fail"
    first = found.evidence["slices"][0]
    assert (first["slice"], first["confirmed"]) == ("carrier = B6", True)
    assert first["excess"] == pytest.approx(0.15, abs=0.05)


def test_a_slice_without_a_rest_on_the_other_half_is_not_confirmed() -> None:
    """All rows of the second half are in it: there is nothing to differ from, and nothing is no evidence."""
    frame, p = trips(40, 100)
    values = row_losses(SPEC, frame["late"].to_numpy(float), p)
    days = np.arange(len(frame)) // 100
    for first_half in (days % 2 == 0, days % 2 == 1, days < 20, days >= 20):
        carriers = np.where(first_half & (np.arange(len(frame)) % 2 == 0), "AA", "B6")
        shifted = values + np.where(carriers == "B6", 0.3, 0.0)
        found = searched(frame.assign(carrier=carriers), shifted)
        for one in found.evidence.get("slices", []):
            assert np.isfinite(one["excess"])
            assert not (one["confirmed"] and one["too_small"])


def test_a_planted_pair_is_found_where_neither_value_is_one() -> None:
    frame, _ = trips(60, 200)
    pair = (frame["carrier"] == "B6") & (frame["hour"] == "h03")
    values = np.random.default_rng(2).normal(0, 0.2, len(frame)) + np.where(pair, 0.4, 0.0)
    names = [one["slice"] for one in searched(frame, values, spec_of(slice_search={"effect": 0.5})).evidence["slices"]]
    assert names[0] == "carrier = B6 and hour = h03"


def test_numbers_and_nulls_form_slices() -> None:
    frame, _ = trips(40, 100)
    frame.loc[::5, "wind"] = np.nan
    values = np.random.default_rng(2).normal(0, 0.2, len(frame)) + np.where(frame["wind"].isna(), 0.3, 0.0)
    assert searched(frame, values).evidence["slices"][0]["slice"] == "wind is null"


def test_against_the_champion_a_common_loss_counts_too() -> None:
    frame, _ = trips(40, 100)
    worse = np.random.default_rng(2).normal(0.3, 0.2, len(frame))
    assert searched(frame, worse, against="zero").outcome == "fail"
    assert searched(frame, -worse, against="zero").outcome == "pass"


def test_too_few_blocks_for_two_halves() -> None:
    frame, p = trips(9, 100)
    found = searched(frame, p)
    assert found.outcome == "inconclusive"
    assert "both halves need 5" in found.reason


def test_losses_by_task() -> None:
    y, p = np.array([0.0, 1.0]), np.array([0.25, 0.5])
    np.testing.assert_allclose(row_losses(SPEC, y, p), [0.0625, 0.25])
    classes = np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]])
    np.testing.assert_allclose(row_losses(spec_of("multiclass_classification"), y, classes), [0.5, 0.0])
    np.testing.assert_allclose(row_losses(spec_of("regression"), np.array([0.0, 2.0]), np.array([1.0, 2.0])), [1.0, 0.0])


@pytest.mark.parametrize("against", ["rest", "zero"])
def test_noise_is_rarely_called_a_slice(against: str) -> None:
    """150 worlds with losses that days share and no slice at all; suspicion is cheap (effect 0), confirmation is not."""
    named = 0
    spec = spec_of(slice_search={"effect": 0.0, "minimum_rows": 30}, resamples=100)
    for seed in range(150):
        frame, _ = trips(20, 30, seed=seed)
        random = np.random.default_rng(1000 + seed)
        values = random.normal(0, 1, len(frame)) + np.repeat(random.normal(0, 0.5, 20), 30)
        named += searched(frame, values - (values.mean() if against == "zero" else 0), spec, against).failed
    assert named <= 16  # level 5 %: binomial 99.7 % quantile of 150 is 16
