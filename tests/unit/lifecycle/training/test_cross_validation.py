"""Folds by kind: groups stay together, strata keep their shares, forward ones look back only; grouped hold-outs are disjoint."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from include.lifecycle.errors import DataInvalidError
from include.lifecycle.training.cross_validation import disjoint_groups, folds_of
from tests.unit.lifecycle.training.rows import REGRESSION, trips
from tests.unit.lifecycle.training.spec_for_tests import make_spec


def spec_of(kind: str, *, folds: int = 3, regression: bool = False, **more: object):
    training = {"folds": folds, "folding": {"kind": kind, "group_by": "driver" if kind == "group" else None, **more}}
    if regression:
        return make_spec(objective={"task": "regression", "metric": "rmse"}, data={"target": "delay"}, training=training)
    return make_spec(training=training)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=6, max_size=120), st.integers(2, 5))
def test_no_group_is_on_both_sides(drivers: list[int], folds: int):
    rows = trips(len(drivers)).assign(driver=[f"D{number}" for number in drivers])
    spec = spec_of("group", folds=folds, regression=True)
    if len(set(drivers)) < 2:
        with pytest.raises(DataInvalidError, match="column 'driver' holds 1 group; two folds need two"):
            folds_of(spec, rows)
        return
    found = folds_of(spec, rows)
    assert len(found) == min(folds, len(set(drivers)))
    validated: list[int] = []
    for fold in found:
        assert not set(rows["driver"].iloc[fold.train]) & set(rows["driver"].iloc[fold.validation])
        assert len(fold.train) + len(fold.validation) == len(rows)
        validated += fold.validation.tolist()
    assert sorted(validated) == list(range(len(rows)))


def test_strata_keep_their_shares_as_scikit_learn_cuts_them():
    rows = trips(997)
    spec = spec_of("stratified", folds=4)
    found = folds_of(spec, rows)
    expected = StratifiedKFold(4, shuffle=True, random_state=spec.training.seed).split(rows, rows["late"])
    for fold, (train, validation) in zip(found, expected, strict=True):
        assert np.array_equal(fold.train, train)
        assert np.array_equal(fold.validation, validation)
        assert rows["late"].iloc[validation].mean() == pytest.approx(rows["late"].mean(), abs=0.01)


def test_plain_folds_are_the_same_each_time_and_another_seed_gives_others():
    rows = trips(400)
    first, second = folds_of(spec_of("k_fold"), rows), folds_of(spec_of("k_fold"), rows)
    assert all(np.array_equal(one.validation, two.validation) for one, two in zip(first, second, strict=True))
    other = folds_of(make_spec(training={"folding": {"kind": "k_fold"}, "seed": 2}), rows)
    assert not np.array_equal(first[0].validation, other[0].validation)


def test_forward_folds_leave_the_label_delay_or_the_gap_that_is_said():
    rows = trips(600)
    for spec, gap in ((spec_of("forward"), pd.Timedelta("24h")), (spec_of("forward", gap="5d"), pd.Timedelta(days=5))):
        for fold in folds_of(spec, rows):
            newest = rows["starts_at"].iloc[fold.train].max()
            assert newest + gap <= rows["starts_at"].iloc[fold.validation].min()


def test_folds_that_cannot_be_scored_are_left_out_or_named():
    rows = trips(300).assign(late=0)
    rows.loc[290:, "late"] = 1
    with pytest.raises(DataInvalidError, match=r"training\.folds 3 \(forward\): none of 3 folds holds both classes"):
        folds_of(spec_of("forward"), rows)
    assert len(folds_of(spec_of("stratified"), rows)) == 3
    assert len(folds_of(REGRESSION, rows)) == 3
    with pytest.raises(DataInvalidError, match=r"\(k_fold\): 2 rows leave no 3 folds"):
        folds_of(spec_of("k_fold"), rows.head(2))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=2, max_size=200), st.floats(0.1, 0.9))
def test_a_grouped_hold_out_shares_no_group_and_loses_no_group_whole(drivers: list[int], share: float):
    rows = trips(len(drivers)).assign(driver=[f"D{number}" for number in drivers])
    cut = int(len(rows) * (1 - share))
    before, after = rows.iloc[:cut], rows.iloc[cut:]
    train, holdout = disjoint_groups(spec_of("group", regression=True), before, after)
    assert not set(train["driver"]) & set(holdout["driver"])
    assert set(train["driver"]) | set(holdout["driver"]) == set(rows["driver"])
    only = set(before["driver"]) - set(after["driver"])
    assert only <= set(train["driver"])


def test_of_groups_that_are_always_there_about_half_are_judged():
    rows = trips(4000).assign(driver=[f"D{number % 200}" for number in range(4000)])
    train, holdout = disjoint_groups(spec_of("group"), rows.iloc[:3200], rows.iloc[3200:])
    assert 70 <= holdout["driver"].nunique() <= 130
    assert holdout["driver"].nunique() + train["driver"].nunique() == 200
    again = disjoint_groups(spec_of("group"), rows.iloc[:3200], rows.iloc[3200:])[1]
    assert again.equals(holdout)


def test_without_groups_nothing_is_dropped():
    rows = trips(100)
    train, holdout = disjoint_groups(make_spec(), rows.iloc[:80], rows.iloc[80:])
    assert (len(train), len(holdout)) == (80, 20)
