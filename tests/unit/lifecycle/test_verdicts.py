"""Verdicts have three values; folding never turns inconclusive into a pass."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.verdicts import Outcome, Verdict, worst

OUTCOMES = st.lists(st.sampled_from(Outcome), max_size=6)


def verdict(outcome: Outcome) -> Verdict:
    return Verdict(check="floor", outcome=outcome, reason="because")


@given(OUTCOMES)
def test_worst_is_fail_then_inconclusive_then_pass(outcomes):
    folded = worst(map(verdict, outcomes))
    if Outcome.FAIL in outcomes:
        assert folded is Outcome.FAIL
    elif Outcome.INCONCLUSIVE in outcomes or not outcomes:
        assert folded is Outcome.INCONCLUSIVE
    else:
        assert folded is Outcome.PASS


@given(OUTCOMES)
def test_order_does_not_matter(outcomes):
    assert worst(map(verdict, outcomes)) == worst(map(verdict, reversed(outcomes)))


def test_inconclusive_is_neither_passed_nor_failed():
    assert not verdict(Outcome.INCONCLUSIVE).passed
    assert not verdict(Outcome.INCONCLUSIVE).failed
    assert verdict(Outcome.PASS).passed
    assert verdict(Outcome.FAIL).failed


def test_travels_as_json():
    said = Verdict(check="floor", outcome=Outcome.FAIL, reason="0.5 < 0.6", evidence={"value": 0.5})
    assert Verdict.model_validate(said.model_dump(mode="json")) == said
