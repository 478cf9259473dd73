"""The domain classifier: chance level and coverage without drift, power on joint changes that no column shows, references."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.lifecycle.monitoring.inputs.multivariate import check_multivariate
from include.lifecycle.monitoring.profile import build_profile, read_profile
from include.lifecycle.statistics.domain import Sample, _clustered, _placements, domain_auc
from include.lifecycle.training.threads import native_threads
from include.lifecycle.verdicts import Outcome
from tests.unit.lifecycle.monitoring.examples import START, as_predictions, make_spec, make_table

LIVE = START + timedelta(days=200)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_placements_are_the_auc(first, second):
    from sklearn.metrics import roc_auc_score

    expected = roc_auc_score([0] * len(second) + [1] * len(first), second + first)
    assert _placements(np.array(first, float), np.array(second, float)).mean() == pytest.approx(expected)


def test_the_variance_of_single_rows_is_delongs():
    random = np.random.default_rng(4)
    placements = random.uniform(size=400)
    assert _clustered(placements, np.arange(400)) == pytest.approx(placements.var(ddof=1) / 400)


def sample(random, *, twisted=0.0, level=0.0, rows=400, blocks=10):
    """Two columns with standard normal margins each, whose correlation is `twisted`; each block has a level of its own."""
    first = random.normal(size=rows)
    second = twisted * first + np.sqrt(1 - twisted**2) * random.normal(size=rows)
    block = np.repeat(np.arange(blocks), rows // blocks)
    shift = level * random.normal(size=blocks)[block]
    return Sample(np.column_stack([first + shift, second]), block)


def told(reference, window, seed=0):
    with native_threads(1):
        return domain_auc(reference, window, categorical=[False, False], folds=4, confidence=0.95, seed=seed)


def test_without_drift_the_interval_holds_one_half():
    random = np.random.default_rng(5)
    found = [told(sample(random), sample(random), seed) for seed in range(40)]
    assert np.mean([one.auc for one in found]) == pytest.approx(0.5, abs=0.02)
    assert sum(one.lower > 0.5 for one in found) <= 4  # 2.5 % on this side


def test_blocks_with_levels_of_their_own_are_no_telling():
    random = np.random.default_rng(6)
    found = [told(sample(random, level=0.8), sample(random, level=0.8), seed) for seed in range(30)]
    assert sum(one.lower > 0.55 for one in found) <= 3


def test_a_joint_change_is_told_though_each_column_is_the_same():
    random = np.random.default_rng(7)
    found = told(sample(random), sample(random, twisted=0.95))
    assert found.auc > found.lower > 0.7


def test_too_few_blocks_tell_nothing():
    random = np.random.default_rng(8)
    assert np.isnan(told(sample(random), sample(random, blocks=2)).auc)


@pytest.fixture(scope="module")
def watched():
    return make_spec(monitoring={"multivariate": {"enabled": True, "draws": 20, "rows": 1000}})


@pytest.fixture(scope="module")
def reference(watched):
    train, _ = make_table(60, seed=11)
    holdout, honest = make_table(30, start=START + timedelta(days=60), seed=12, per_day=100)
    return build_profile(watched, train, holdout, honest, seed=3)


def live(change=None, *, days=4, seed=21):
    frame, honest = make_table(days, start=LIVE, per_day=300, seed=seed)
    return as_predictions(change(frame) if change else frame, honest, days=days, start=LIVE)


def in_step(frame):
    """Warm days become the windy ones; each column keeps its values."""
    ranks = np.argsort(np.argsort(frame["wind"].to_numpy()))
    return frame.assign(warmth=np.sort(frame["warmth"].to_numpy())[ranks])


def test_a_window_is_told_by_what_its_columns_do_together(watched, reference, tmp_path):
    reference.write(tmp_path)
    stored = read_profile(tmp_path)
    (quiet,), (moved,) = (check_multivariate(watched, stored, live(change)) for change in (None, in_step))
    assert quiet.passed
    assert moved.failed
    assert moved.evidence["lower"] > watched.monitoring.multivariate.maximum_auc
    assert moved.evidence["effect"] == pytest.approx(moved.evidence["auc"] - 0.5)
    again = check_multivariate(watched, stored, live(in_step))
    assert again == [moved]  # the same on every run


def test_quiet_windows_do_not_fail(watched, reference):
    found = [check_multivariate(watched, reference, live(seed=700 + seed))[0] for seed in range(20)]
    assert {verdict.outcome for verdict in found} == {Outcome.PASS}


def test_it_is_off_unless_asked_for(spec, profile, reference):
    assert profile.inputs.multivariate is None
    assert check_multivariate(spec, reference, live()) == []


def test_it_says_when_it_cannot_tell(watched, reference):
    (faulty,) = check_multivariate(watched, reference, live(), frozenset({"wind"}))
    strict = make_spec(monitoring={"multivariate": {"enabled": True}, "minimum_rows": 100_000})
    (few,) = check_multivariate(strict, reference, live())
    assert {faulty.outcome, few.outcome} == {Outcome.INCONCLUSIVE}
    assert "wind has a data fault" in faulty.reason
