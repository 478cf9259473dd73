"""Declared slices: against the champion or the whole, small ones marked."""

from __future__ import annotations

import numpy as np
import pytest

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.evaluation.sample import sample_of
from include.lifecycle.evaluation.slices import slice_gates
from tests.unit.lifecycle.evaluation.cases import spec_of, trips

FRAME, P = trips(40, 150)
UNITED = [{"name": "united", "where": "carrier = 'UA'"}]
BAD = np.where(FRAME["carrier"] == "UA", np.random.default_rng(5).random(len(P)), P)


def judged(new, old=None, slices=UNITED, **limits):
    spec = spec_of(slices=slices, slice_limits=limits)
    return slice_gates(spec, sample_of(spec, FRAME), FRAME, new, old, 3 if old is not None else None)


def test_a_slice_that_lost_against_the_champion_fails() -> None:
    (lost,) = judged(BAD, P)
    assert (lost.check, lost.outcome) == ("slice:united", "fail")
    assert lost.evidence["lower"] > 0.05
    assert judged(P, BAD)[0].outcome == "pass"
    assert judged(P, P)[0].evidence["estimate"] == 0.0


def test_without_a_champion_the_whole_is_the_measure() -> None:
    (worse,) = judged(BAD)
    assert worse.outcome == "fail"
    assert "the whole hold-out" in worse.reason
    assert judged(P, max_drop=0.1)[0].outcome == "pass"


def test_small_slices_are_marked_and_never_judged() -> None:
    tiny = [{"name": "tiny", "where": "trip_id IN ('1', '2')"}, {"name": "none", "where": "carrier = 'XX'"}]
    for verdict in judged(BAD, P, slices=tiny):
        assert verdict.outcome == "inconclusive"
        assert verdict.evidence["too_small"] is True
    (edge,) = judged(BAD, P, minimum_rows=int((FRAME["carrier"] == "UA").sum()))
    assert edge.outcome == "fail", "so many rows are enough"
    (short,) = judged(BAD, P, minimum_rows=int((FRAME["carrier"] == "UA").sum()) + 1)
    assert short.outcome == "inconclusive"


def test_a_slice_of_one_day_says_nothing_of_other_days() -> None:
    day = [{"name": "one_day", "where": "starts_at < TIMESTAMPTZ '2013-07-02 00:00:00+00'"}]
    (verdict,) = judged(BAD, P, slices=day)
    assert verdict.outcome == "inconclusive"
    assert "1 blocks" in verdict.reason


def test_a_wrong_condition_is_told_with_its_place() -> None:
    with pytest.raises(SpecInvalidError, match=r"evaluation\.slices\[0\]\.where"):
        judged(P, slices=[{"name": "wrong", "where": "no_such_column = 1"}])


def test_an_equally_good_slice_rarely_fails() -> None:
    """60 worlds, margin 0: the challenger is the champion with noise of its own kind, on every slice."""
    failed = 0
    for seed in range(60):
        frame, p = trips(25, 60, seed=seed)
        random = np.random.default_rng(seed)
        new, old = (np.clip(p + random.normal(0, 0.05, len(p)), 0, 1) for _ in range(2))
        spec = spec_of(slices=UNITED, slice_limits={"max_drop": 0.0, "minimum_rows": 50})
        failed += slice_gates(spec, sample_of(spec, frame), frame, new, old, 3)[0].failed
    assert failed <= 5  # 2.5 % one-sided; binomial 99 % quantile of 60 is 5
