"""Values that training never had: what fails, what does not, whose signal it is, and that the bars keep their promise."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from include.lifecycle.monitoring.checks import CHECKS, Subject
from include.lifecycle.monitoring.inputs.budget import family_tests, level_of
from include.lifecycle.monitoring.inputs.novelty import check_novelty, check_recoded
from include.lifecycle.monitoring.profile import read_profile
from include.lifecycle.statistics.null import QUARTER
from include.lifecycle.verdicts import Outcome
from tests.unit.lifecycle.monitoring.examples import START, as_labelled, as_predictions, make_spec, make_table

LIVE = START + timedelta(days=200)


def window(change=None, *, days=4, per_day=300, seed=21):
    frame, honest = make_table(days, start=LIVE, per_day=per_day, seed=seed)
    return as_predictions(change(frame) if change else frame, honest, days=days, start=LIVE)


def some(frame, column, value, share):
    """`share` of the rows get `value`."""
    return frame.assign(**{column: frame[column].where(np.random.default_rng(1).uniform(size=len(frame)) >= share, value)})


def test_nothing_new_passes(spec, profile):
    verdicts = [*check_novelty(spec, profile, window()), *check_recoded(spec, profile, window())]
    assert [verdict.check for verdict in verdicts] == [
        "covariate:wind:novelty",
        "covariate:warmth:novelty",
        "covariate:city:novelty",
        "data_fault:city:recoded",
    ]
    assert all(verdict.passed for verdict in verdicts)


@pytest.mark.parametrize(
    ("column", "value", "share", "aspect"),
    [("city", "Paris", 0.05, "new_categories"), ("wind", 200.0, 0.2, "outliers"), ("warmth", None, 0.2, "missing")],
)
def test_each_aspect_is_named_with_its_interval(spec, profile, column, value, share, aspect):
    (failed,) = [
        found for found in check_novelty(spec, profile, window(lambda one: some(one, column, value, share))) if found.failed
    ]
    evidence = failed.evidence
    assert (failed.check, evidence["aspect"], evidence["severity"]) == (f"covariate:{column}:novelty", aspect, "warn")
    assert evidence["threshold"] < evidence["lower"] < evidence[aspect] < evidence["upper"]
    assert evidence[aspect] == pytest.approx(share, abs=0.03)


def test_the_new_categories_are_shown(spec, profile):
    verdict = check_novelty(spec, profile, window(lambda one: some(one, "city", "Paris", 0.1)))[2]
    assert set(verdict.evidence["new"]) == {"Paris"}


@pytest.mark.parametrize(("column", "value", "share"), [("city", "Paris", 0.005), ("wind", 200.0, 0.003), ("warmth", None, 0.03)])
def test_a_few_are_none(spec, profile, column, value, share):
    assert not any(found.failed for found in check_novelty(spec, profile, window(lambda one: some(one, column, value, share))))


def test_a_share_of_one_never_fails(profile):
    lax = make_spec(monitoring={"novelty": {"new_categories": 1.0}})
    assert check_novelty(lax, profile, window(lambda one: some(one, "city", "Paris", 0.3)))[2].passed


def test_another_encoding_is_a_data_fault_and_no_drift(spec, profile):
    live = window(lambda frame: frame.assign(city=frame["city"].str.upper()))
    subject = Subject(spec, profile, live, as_labelled(*make_table(1)), LIVE)
    for check in CHECKS[:2]:
        subject.found += check.measure(subject)
    (failed,) = [found for found in subject.found if found.failed]
    assert (failed.check, failed.evidence["fault"]) == ("data_fault:city:recoded", "recoded")
    assert subject.faulty == {"city"}
    novelty = check_novelty(spec, profile, live, subject.faulty)
    assert [verdict.outcome for verdict in novelty] == [Outcome.PASS, Outcome.PASS, Outcome.INCONCLUSIVE]


def test_few_rows_tell_nothing(profile):
    strict = make_spec(monitoring={"minimum_rows": 100_000})
    live = window()
    verdicts = [*check_novelty(strict, profile, live), *check_recoded(strict, profile, live)]
    assert {verdict.outcome for verdict in verdicts} == {Outcome.INCONCLUSIVE}


def test_a_profile_from_before_says_so_once(spec, profile):
    (verdict,) = check_novelty(spec, profile.model_copy(update={"inputs": None}), window())
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "the next version" in verdict.reason


def test_the_reference_comes_back_from_disk(profile, tmp_path):
    profile.write(tmp_path)
    assert read_profile(tmp_path).inputs == profile.inputs


def test_the_levels_of_all_families_sum_to_the_budget():
    sales = {"name": "sales", "query": "rain/sales.sql"}
    spec = make_spec(monitoring={"skew": {"windows": 3}, "multivariate": {"enabled": True}, "business": [sales]})
    tests = family_tests(spec)
    assert {"drift", "novelty", "skew", "attribution", "multivariate", "creep", "business"} <= tests.keys()
    expected = sum(level_of(spec, family) * count * (QUARTER / spec.monitoring.window) for family, count in tests.items())
    assert expected == pytest.approx(spec.monitoring.drift.false_alarms_per_quarter)


def test_windows_without_anything_new_hardly_ever_fail(spec, profile):
    """300 windows of a day, 3 columns: at its level the family may cost a tenth of an alarm a quarter."""
    failed = 0
    for seed in range(300):
        failed += sum(found.failed for found in check_novelty(spec, profile, window(days=1, per_day=250, seed=1000 + seed)))
    assert failed == 0
