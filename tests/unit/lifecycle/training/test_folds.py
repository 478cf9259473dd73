"""Folds never let a trial see what was not known yet."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.errors import DataInvalidError
from include.lifecycle.training.folds import forward_folds

MINUTES = st.lists(st.integers(0, 60 * 24 * 60), min_size=1, max_size=300)
ZERO = np.datetime64("2013-02-01", "us")


@given(MINUTES, st.integers(2, 6), st.integers(0, 5 * 24 * 60))
def test_no_leakage(minutes: list[int], folds: int, gap_minutes: int):
    times = ZERO + np.array(minutes) * np.timedelta64(1, "m")
    gap = timedelta(minutes=gap_minutes)
    try:
        found = forward_folds(times, folds, gap)
    except DataInvalidError:
        return
    assert 1 <= len(found) <= folds
    validated: list[int] = []
    for fold in found:
        assert len(fold.train)
        assert len(fold.validation)
        newest, oldest = times[fold.train].max(), times[fold.validation].min()
        assert newest < oldest
        assert newest + np.timedelta64(gap, "us") <= oldest
        # every row that was known by then is used
        assert len(fold.train) == np.sum((times <= oldest - np.timedelta64(gap, "us")) & (times < oldest))
        validated += fold.validation.tolist()
    assert len(validated) == len(set(validated))
    assert {int(row) for row in np.flatnonzero(times == times.max())} <= set(validated)


def test_even_stretches():
    times = ZERO + np.arange(100) * np.timedelta64(1, "h")
    folds = forward_folds(times, 3, timedelta(hours=5))
    assert [(len(fold.train), len(fold.validation)) for fold in folds] == [(21, 25), (46, 25), (71, 25)]


def test_too_little_time_is_an_error():
    with pytest.raises(DataInvalidError, match="10 rows leave no forward-chaining fold with a gap of 1 day"):
        forward_folds(ZERO + np.arange(10) * np.timedelta64(1, "h"), 3, timedelta(days=1))
