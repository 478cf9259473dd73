"""The safe test: a fair game under the null by exact enumeration, the promised error rate by simulation, power, and its state."""

import json
import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.lifecycle.statistics.safe_test import ODDS, ROWS, STAKES, SafeTest, advance, correlation, empty, log_e

RATES = st.floats(0.0, 1.0)
SHARES = st.floats(0.02, 0.98)
BLOCKS = st.lists(  # of both arms: what waits for the other arm is part of the next block
    st.tuples(st.integers(1, 30), st.integers(1, 30)).flatmap(
        lambda size: st.tuples(st.integers(0, size[0]), st.just(size[0]), st.integers(0, size[1]), st.just(size[1]))
    ),
    max_size=6,
)


def after(blocks, share=None):
    test = SafeTest()
    for hits, total, other_hits, other_total in blocks:
        test = test.after((hits, total), (other_hits, other_total), share)
    return test


def binomial(hits, total, rate):
    return math.comb(total, hits) * rate**hits * (1 - rate) ** (total - hits)


def mean_growth(test, sizes, rates, share):
    """Exact mean of e(after) / e(before) over all outcomes of one block of given sizes."""
    found = 0.0
    for hits, other in product(range(sizes[0] + 1), range(sizes[1] + 1)):
        chance = binomial(hits, sizes[0], rates[0]) * binomial(other, sizes[1], rates[1])
        if chance:
            found += chance * math.exp(test.after((hits, sizes[0]), (other, sizes[1]), share).log_e - test.log_e)
    return found


@settings(deadline=None)
@given(BLOCKS, st.integers(0, 4), st.integers(0, 4), RATES, RATES)
def test_no_block_can_be_expected_to_win_when_the_challenger_is_not_worse(blocks, n_a, n_b, one, other):
    rates = max(one, other), min(one, other)
    assert mean_growth(after(blocks), (n_a, n_b), rates, None) <= 1 + 1e-9


@settings(deadline=None)
@given(st.integers(1, 5), RATES, RATES, SHARES, st.integers(0, 40), st.integers(0, 400))
def test_with_a_known_share_the_gateways_draw_is_the_fair_game(size, one, other, share, hits, total):
    """Exact over assignment and outcome of single requests, after champion blocks of one request: those hold no correlation."""
    rates = max(one, other), min(one, other)
    test = SafeTest()
    for number in range(min(hits, 5) + min(total, 5)):
        test = test.after((float(number < min(hits, 5)), 1), (0, 0), share)
    found = sum(binomial(n_b, size, share) * mean_growth(test, (size - n_b, n_b), rates, share) for n_b in range(size + 1))
    assert found <= 1 + 1e-9


@settings(deadline=None, max_examples=40)
@given(st.lists(st.booleans(), min_size=1, max_size=6), SHARES)
def test_with_a_known_share_hits_may_depend_on_each_other(outcomes, share):
    """Whatever the requests' fates, as long as the arm does not change them: the draw of the arms alone is a fair game."""
    found = 0.0
    for arms in product((False, True), repeat=len(outcomes)):
        chance, test = 1.0, SafeTest()
        for hit, challenger in zip(outcomes, arms, strict=True):
            chance *= share if challenger else 1 - share
            mine, none = (float(hit), 1.0), (0.0, 0.0)
            test = test.after(*((none, mine) if challenger else (mine, none)), share)
        found += chance * math.exp(test.log_e)
    assert 0.8 < found <= 1 + 1e-9  # below 1 by what the largest gain of a block cuts off


@settings(deadline=None)
@given(BLOCKS, st.integers(0, 20), st.integers(1, 20), st.integers(1, 20), st.sampled_from([None, 0.1, 0.5]))
def test_more_hits_of_the_challenger_are_more_evidence(blocks, hits, n_a, n_b, share):
    before, hits = after(blocks, share), min(hits, n_a)
    values = [before.after((hits, n_a), (other, n_b), share).log_e for other in range(n_b + 1)]
    assert values == sorted(values)


@settings(deadline=None)
@given(BLOCKS, st.sampled_from([None, 0.1]))
def test_the_e_value_keeps_what_was_never_bet_and_the_best_never_falls(blocks, share):
    test, best = SafeTest(), 0.0
    for block in blocks:
        test = test.after(block[:2], block[2:], share)
        assert test.log_e >= math.log(1 - sum(STAKES)) - 1e-12
        assert test.log_best == pytest.approx(max(best, test.log_e), abs=1e-12)
        best = test.log_best


@given(st.lists(st.tuples(st.integers(0, 9), st.just(9)), max_size=5))
def test_one_arm_alone_says_nothing(blocks):
    """Without the other arm's requests nothing is bet; they wait until it has some."""
    test = after([(*one, 0, 0) for one in blocks])
    assert test.log_e == pytest.approx(0.0, abs=1e-12)
    assert test.champion == (0, 0)
    joined = test.after((0, 0), (1, 2))
    if blocks:
        assert joined.champion == (sum(hits for hits, _ in blocks), 9 * len(blocks))


def test_streams_in_parallel_give_what_single_ones_give():
    generator, state, single = np.random.default_rng(5), empty((3,)), [SafeTest()] * 3
    for _ in range(20):
        totals = generator.integers(0, 20, (2, 3))
        hits = generator.binomial(totals, 0.2)
        block = np.stack([hits[0], totals[0], hits[1], totals[1]])
        state = advance(state, block, 0.3)
        single = [one.after(tuple(block[:2, at]), tuple(block[2:, at]), 0.3) for at, one in enumerate(single)]
    assert np.allclose(state.T, [one.state for one in single])
    assert log_e(state) == pytest.approx([one.log_e for one in single])


def test_the_state_is_small_plain_json():
    test = after([(1, 30, 2, 4), (0, 20, 1, 2)])
    assert SafeTest(tuple(json.loads(json.dumps(test.state)))) == test
    assert len(test.state) == ROWS == 15 + len(ODDS)
    assert (test.champion, test.challenger) == ((1, 50), (3, 6))
    assert test.difference == pytest.approx(0.48)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="0 <= hits <= total; got 3 of 2"):
        SafeTest().after((0, 1), (3, 2))


def stopped_at(rates, *, share=0.1, streams=400, requests=6_000, alpha=0.01, size=10, seed=1):
    """Challenger's requests at which each stream rejects (inf: never), looking after every block of `size` requests."""
    generator, state = np.random.default_rng(seed), empty((streams,))
    found = np.full(streams, np.inf)
    for _ in range(round(requests / share / size)):
        other = generator.binomial(size, share, streams)
        totals = size - other, other
        hits = [generator.binomial(total, rate) for total, rate in zip(totals, rates, strict=True)]
        state = advance(state, np.stack([hits[0], totals[0], hits[1], totals[1]]), share)
        found = np.where(np.isinf(found) & (state[10] >= -math.log(alpha)), state[3], found)
        if np.isfinite(found).all():
            break
    return found


def test_equal_versions_are_not_rolled_back_however_often_one_looks():
    """400 streams of 6,000 canary requests, 6,000 looks each: at most alpha of them (and three standard errors) may reject."""
    found = stopped_at((0.01, 0.01))
    assert np.isfinite(found).sum() <= 4


@pytest.mark.parametrize(("worse", "requests"), [(0.02, 574), (0.05, 128), (0.10, 46)])
def test_harm_is_found_soon(worse, requests):
    found = stopped_at((0.01, 0.01 + worse), requests=3_000)
    assert np.isfinite(found).all()
    assert np.median(found) <= requests


def test_a_better_challenger_is_safer_still():
    assert np.isinf(stopped_at((0.05, 0.02), requests=1_500)).all()


def bursts(generator, streams, size, share, chance):
    """Blocks in which an arm's hits come all together or not at all, each arm for itself."""
    other = generator.binomial(size, share, streams)
    totals = size - other, other
    hits = [np.where(generator.random(streams) < chance, total, 0) for total in totals]
    return np.stack([hits[0], totals[0], hits[1], totals[1]])


def test_bursts_within_an_arm_are_told_and_counted_as_one():
    generator, state = np.random.default_rng(9), empty((300,))
    for _ in range(1_000):
        state = advance(state, bursts(generator, 300, 200, 0.1, 0.02), 0.1)
    assert np.median(correlation(state)) > 0.9
    assert (state[10] >= math.log(100)).mean() <= 0.04  # as single requests they would reject half of the streams
