"""Each method from YAML to verdict: chosen for all columns or one, with its own null, by rows and by counts alike."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from include.lifecycle.monitoring.counting.arrays import count_window
from include.lifecycle.monitoring.counting.scheme import scheme_of
from include.lifecycle.monitoring.drift import check_drift, check_prediction_drift
from include.lifecycle.rules.monitoring import RULES
from include.lifecycle.rules.view import View
from tests.unit.lifecycle.monitoring.examples import START, as_predictions, make_profile, make_spec, make_table

LIVE = START + timedelta(days=200)
NUMERIC = ("wasserstein", "jensen_shannon", "kl_divergence", "psi", "ks")
CATEGORICAL = ("jensen_shannon", "kl_divergence", "psi", "chi_square")
PAIRS = [*zip(NUMERIC, (*CATEGORICAL, "chi_square"), strict=True)]


@pytest.fixture(scope="module", params=PAIRS, ids="+".join)
def pair(request):
    numeric, categorical = request.param
    spec = make_spec(monitoring={"drift": {"numeric": numeric, "categorical": categorical}})
    return request.param, spec, make_profile(spec)


def window(*, city=None, **changes):
    frame, honest = make_table(4, start=LIVE, per_day=300, seed=21, **changes)
    return as_predictions(frame.assign(city=city) if city else frame, honest, days=4, start=LIVE)


def judged(spec, profile, predictions):
    verdicts = [*check_drift(spec, profile, predictions), check_prediction_drift(spec, profile, predictions)]
    return {verdict.check: verdict for verdict in verdicts}


def test_nothing_is_found_without_drift(pair):
    (numeric, categorical), spec, profile = pair
    found = judged(spec, profile, window())
    assert {name for name, verdict in found.items() if not verdict.passed} == set()
    assert found["covariate:wind"].evidence["method"] == found["prediction_drift"].evidence["method"] == numeric
    assert found["covariate:city"].evidence["method"] == categorical


def test_drift_is_found_and_nothing_else(pair):
    _, spec, profile = pair
    assert [name for name, one in judged(spec, profile, window(warmer=5.0)).items() if one.failed] == ["covariate:warmth"]
    assert [name for name, one in judged(spec, profile, window(city="Cork")).items() if one.failed] == ["covariate:city"]
    assert [name for name, one in judged(spec, profile, window(city="Nice")).items() if one.failed] == ["covariate:city"]


def test_counts_judge_as_rows_do(pair):
    _, spec, profile = pair
    for changes in ({}, {"warmer": 5.0}, {"city": "Cork"}, {"city": "Nice"}):
        rows = window(**changes)
        counted = replace(rows, counts=count_window(scheme_of(profile), rows, []))
        exact, fast = judged(spec, profile, rows), judged(spec, profile, counted)
        assert exact.keys() == fast.keys()
        for name, verdict in exact.items():
            assert fast[name].outcome == verdict.outcome, name
            assert fast[name].evidence["effect"] == pytest.approx(verdict.evidence["effect"], abs=1e-3), name
            assert fast[name].evidence["rows"] == verdict.evidence["rows"]


def test_chi_square_tells_its_statistic():
    spec = make_spec(monitoring={"drift": {"categorical": "chi_square"}})
    evidence = judged(spec, make_profile(spec), window(city="Cork"))["covariate:city"].evidence
    assert evidence["degrees_of_freedom"] == 4
    assert evidence["chi_square"] > 1000
    assert 0.5 < evidence["effect"] <= 1


def special(**values):
    return {"drift": "watch", "role": None, "method": None, "pii": "keep", "max_missing": None, "outliers": "watch"} | values


def test_one_column_has_a_method_of_its_own():
    spec = make_spec(columns={"warmth": special(method="ks"), "city": special(method="psi")})
    found = judged(spec, make_profile(spec), window(warmer=5.0))
    assert {name: one.evidence["method"] for name, one in found.items()} == {
        "covariate:wind": "wasserstein",
        "covariate:warmth": "ks",
        "covariate:city": "psi",
        "prediction_drift": "wasserstein",
    }
    assert found["covariate:warmth"].failed
    assert "Kolmogorov-Smirnov statistic 0." in found["covariate:warmth"].reason


@pytest.mark.parametrize(
    ("column", "method", "said"),
    [
        ("warmth", "ks", None),
        ("city", "chi_square", None),
        ("city", None, None),
        ("warmth", "chi_square", "allowed for the numeric feature 'warmth': wasserstein"),
        ("city", "ks", "allowed for the categorical feature 'city': jensen_shannon"),
        ("id", "ks", "'id' is no feature"),
    ],
)
def test_a_method_must_suit_its_column(column, method, said):
    data = {"features": {"numeric": ["warmth"], "categorical": ["city"]}, "columns": {column: {"method": method}}}
    found = [sentence for rule in RULES for _, sentence in rule(View("rain", data, Path()))]
    assert len(found) == (said is not None)
    assert said is None or said in found[0]
