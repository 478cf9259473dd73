"""Faults of the whole feed: each injected into live rows and named, none in live rows as they are; and its statistics."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats.contingency import association as scipy_association

from include.lifecycle.monitoring.faults import check_faults
from include.lifecycle.monitoring.feeds.associations import association, coding_of, encode
from include.lifecycle.monitoring.feeds.shapes import longest_run, repeated, worst_part
from include.lifecycle.monitoring.labels import Labelled
from include.lifecycle.monitoring.measure import measure_window
from include.lifecycle.monitoring.profile import Profile, build_profile, read_profile
from tests.unit.lifecycle.monitoring.examples import START, as_predictions, make_spec, make_table

LIVE = START + timedelta(days=200)


def linked(days: int, *, seed: int, per_day: int = 300, start=LIVE) -> tuple[pandas.DataFrame, np.ndarray]:
    """A table in which warmth goes with the city and with the wind."""
    frame, honest = make_table(days, start=start, per_day=per_day, seed=seed)
    shift = frame["city"].map({"Oslo": -9.0, "Rome": 9.0, "Lima": 4.0, "Cork": -3.0, "Bern": 0.0})
    return frame.assign(warmth=frame["warmth"] + shift + 2.0 * (frame["wind"] - 6)), honest


@pytest.fixture(scope="module")
def spec():
    return make_spec()


@pytest.fixture(scope="module")
def known(spec) -> Profile:
    train, _ = linked(150, seed=11, per_day=100, start=START)
    holdout, honest = linked(30, seed=12, per_day=220, start=START + timedelta(days=150))
    return build_profile(spec, train, holdout, honest, seed=3)


def live(seed: int = 21, change=None, keys: bool = True):
    frame, honest = linked(4, seed=seed)
    frame = frame.assign(score=honest)
    if change:
        frame = change(frame.copy())
    if not keys:
        frame["id"] = None
    return as_predictions(frame, frame["score"].to_numpy(), days=4, start=LIVE)


def failed(verdicts):
    return {verdict.check: verdict.evidence["fault"] for verdict in verdicts if verdict.failed}


def stuck(frame):
    frame.loc[frame.index >= 400, "warmth"] = 21.5
    return frame


def burst(frame):
    frame.loc[500:640, "wind"] = np.nan
    return frame


def shifted(frame):
    return frame.assign(warmth=np.roll(frame["warmth"].to_numpy(), 137))


def resent(frame):
    return pandas.concat([frame, frame.iloc[200:330]]).sort_values("at", kind="stable").reset_index(drop=True)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (stuck, {"data_fault:warmth": "stuck"}),
        (burst, {"data_fault:wind": "null_burst"}),
        (shifted, {"data_fault:warmth": "shifted_join"}),
        (resent, {"data_fault:@rows": "duplicates"}),
    ],
)
def test_each_fault_is_named_with_its_rule(spec, known, change, expected):
    verdicts = check_faults(spec, known, live(change=change))
    assert failed(verdicts) == expected
    (verdict,) = [one for one in verdicts if one.failed]
    fault = next(iter(expected.values()))
    assert (verdict.evidence["rule"], verdict.evidence["severity"]) == (f"data_fault.{fault}", "critical")
    assert verdict.evidence["effect"] > 0


def test_a_burst_and_a_stuck_value_say_since_when(spec, known):
    (verdict,) = [one for one in check_faults(spec, known, live(change=stuck)) if one.failed]
    assert "the same value 21.5 in 67% of the rows on end, 2013-07-21T" in verdict.reason


def test_honest_windows_have_no_fault(spec, known):
    alarms = [check for seed in range(60) for check in failed(check_faults(spec, known, live(seed=1000 + seed)))]
    assert alarms == []


def test_a_usual_value_may_stay():
    """No rain for days: training had it mostly, too, though no hold-out window was all dry."""

    def dry(frame, share=0.3):
        return frame.assign(wind=np.where(np.random.default_rng(len(frame)).random(len(frame)) < share, 0.0, frame["wind"]))

    spec = make_spec()
    train, holdout = linked(60, seed=11, start=START)[0], linked(30, seed=12, start=START + timedelta(days=60))
    known = build_profile(spec, dry(train), dry(holdout[0]), holdout[1], seed=3)
    assert failed(check_faults(spec, known, live(change=lambda frame: dry(frame, share=1.0)))) == {}
    strict = make_spec(monitoring={"faults": {"usual_value": 0.9}})
    found = check_faults(strict, known, live(change=lambda frame: dry(frame, share=1.0)))
    assert failed(found) == {"data_fault:wind": "stuck"}


def test_a_column_that_moved_is_no_shifted_join(spec, known):
    def moved(frame):
        return frame.assign(warmth=np.random.default_rng(1).normal(40, 1, len(frame)))

    assert "data_fault:warmth" not in failed(check_faults(spec, known, live(change=moved)))


def test_rows_without_keys_are_compared_by_their_features(spec, known):
    assert failed(check_faults(spec, known, live(change=resent, keys=False))) == {"data_fault:@rows": "duplicates"}
    old = known.model_copy(update={"feed": None})
    verdict = check_faults(spec, old, live(change=resent, keys=False))[-1]
    assert (verdict.outcome, "from before repeats" in verdict.reason) == ("inconclusive", True)
    assert failed(check_faults(spec, old, live(change=resent))) == {"data_fault:@rows": "duplicates"}


def test_limits_are_the_yamls(known):
    lenient = make_spec(monitoring={"faults": {"stuck": 0.9, "duplicates": 0.5, "burst_jump": 1.0, "association_lost": 0.999}})
    for change in (stuck, burst, resent):
        assert failed(check_faults(lenient, known, live(change=change))) == {}


def test_the_parts_survive_their_file(known, tmp_path):
    known.write(tmp_path)
    again = read_profile(tmp_path)
    assert again.feed == known.feed
    assert {(pair.first, pair.second) for pair in known.feed.associations} == {("city", "warmth"), ("warmth", "wind")}


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_the_longest_run_is_the_one_that_a_loop_finds(values):
    best = run = 1
    for before, after in pairwise(values):
        run = run + 1 if before == after else 1
        best = max(best, run)
    found = longest_run(np.array(values, dtype=np.float64))
    assert found.share == best / len(values)
    assert found.last - found.first + 1 == best


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["a", "b", None])), max_size=50))
def test_repeats_are_those_of_a_set(rows):
    numbers = np.array([row[0] for row in rows], dtype=np.float64)
    texts = np.array([row[1] for row in rows], dtype=object)
    seen, wanted = set(), []
    for row in rows:
        wanted.append(row in seen)
        seen.add(row)
    assert repeated([numbers, texts], len(rows)).tolist() == wanted


def test_cramers_v_is_scipys_where_the_correction_is_nothing():
    random = np.random.default_rng(5)
    first = random.integers(0, 4, 400_000)
    second = np.where(random.random(first.size) < 0.5, first, random.integers(0, 4, first.size))
    table = np.bincount(first * 4 + second, minlength=16).reshape(4, 4)
    assert association(first, second) == pytest.approx(scipy_association(table, method="cramer"), abs=1e-4)
    assert association(first, random.permutation(second)) < 0.01


def test_codes_keep_nulls_and_new_categories_apart():
    coding = coding_of(np.array(["a"] * 5 + ["b"] * 3 + [None], dtype=object))
    assert encode(coding, np.array(["b", "new", None, "a"], dtype=object)).tolist() == [1, 2, -1, 0]
    assert coding_of(np.full(10, 3.0)) is None
    assert coding_of(np.full(10, np.nan)) is None


def test_few_rows_have_no_parts():
    assert worst_part(np.ones(99, dtype=bool)) is None
    found = worst_part(np.arange(200) >= 150)
    assert (found.share, found.first, found.last) == (1.0, 150, 199)


def test_a_million_new_categories_are_judged_and_hide_nothing(spec, known):
    rows = 1_000_000
    random = np.random.default_rng(1)
    at = START + timedelta(days=200)
    frame = pandas.DataFrame(
        {
            "id": np.arange(rows).astype(str),
            "at": pandas.to_datetime(at) + pandas.to_timedelta(np.arange(rows) // 4, unit="s"),
            "wind": random.gamma(2.0, 3.0, rows),
            "warmth": random.normal(15, 4, rows),
            "city": [f"new-{number}" for number in range(rows)],
        }
    )
    window = as_predictions(frame, np.full(rows, 0.5), days=4, start=at)
    told = measure_window(spec, known, window, Labelled(*[np.empty(0)] * 3, 0.0), now=at + timedelta(days=9), notes=[])
    outcomes = {verdict["check"]: verdict["outcome"] for verdict in told["verdicts"]}
    assert outcomes["data_fault:city:recoded"] == "fail"
    assert outcomes["covariate:city"] == "inconclusive"
    assert outcomes["covariate:wind"] == "pass"
    assert len(json.dumps(told["verdicts"])) < 50_000
