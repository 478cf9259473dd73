"""Drift by KL divergence: chosen in the spec, drawn into the profile, measured and named as the profile says."""

from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import pandas
import pytest
from pydantic import ValidationError

from include.lifecycle.monitoring.drift import check_drift, check_prediction_drift
from include.lifecycle.monitoring.profile import PREDICTION, PROFILE_FILE, build_profile, read_profile
from include.lifecycle.verdicts import Outcome
from tests.unit.lifecycle.monitoring.examples import START, as_predictions, make_profile, make_spec, make_table

LIVE = START + timedelta(days=200)
KL = {"numeric": "kl_divergence", "categorical": "kl_divergence"}


@pytest.fixture(scope="module")
def kl_spec():
    return make_spec(monitoring={"drift": KL})


@pytest.fixture(scope="module")
def kl_profile(kl_spec):
    return make_profile(kl_spec)


def window(*, seed=21, city=None, spread=1.0, **changes):
    frame, honest = make_table(4, start=LIVE, per_day=300, seed=seed, **changes)
    return as_predictions(frame.assign(city=city) if city else frame, honest**spread, days=4, start=LIVE)


def judged(spec, profile, predictions):
    verdicts = [*check_drift(spec, profile, predictions), check_prediction_drift(spec, profile, predictions)]
    return {verdict.check: verdict for verdict in verdicts}


def test_every_column_stores_its_method_and_a_null_of_its_own(kl_profile, profile):
    for name, stored in {**kl_profile.numeric, **kl_profile.categorical, PREDICTION: kl_profile.prediction}.items():
        assert stored.method == "kl_divergence"
        assert [null.rows for null in stored.nulls] == [200, 800]
        assert all(null.threshold > null.median > 0 for null in stored.nulls), name
    assert sum(kl_profile.numeric["wind"].bin_counts) == 15_000
    assert (profile.numeric["wind"].method, profile.categorical["city"].method) == ("wasserstein", "jensen_shannon")
    assert profile.numeric["wind"].edges == profile.numeric["wind"].bin_counts == []


def test_it_comes_back_from_disk_as_it_was(kl_profile, tmp_path):
    kl_profile.write(tmp_path)
    again = read_profile(tmp_path)
    assert again.model_dump() == kl_profile.model_dump()
    values = np.random.default_rng(1).gamma(2.0, 3.0, 300)
    assert again.distance("wind", values) == kl_profile.distance("wind", values)


def test_nothing_is_found_where_nothing_changed(kl_spec, kl_profile):
    for seed in range(21, 26):
        verdicts = judged(kl_spec, kl_profile, window(seed=seed))
        assert {verdict.outcome for verdict in verdicts.values()} == {Outcome.PASS}
        assert {verdict.evidence["method"] for verdict in verdicts.values()} == {"kl_divergence"}


@pytest.mark.parametrize(
    ("check", "changes"),
    [("covariate:warmth", {"warmer": 4.0}), ("covariate:city", {"city": "Paris"}), ("prediction_drift", {"spread": 0.25})],
)
def test_what_changed_is_found_and_the_method_named(kl_spec, kl_profile, check, changes):
    verdicts = judged(kl_spec, kl_profile, window(**changes))
    assert [name for name, verdict in verdicts.items() if verdict.failed] == [check]
    assert verdicts[check].evidence["distance"] == "Kullback-Leibler"
    assert verdicts[check].reason.startswith("Kullback-Leibler distance")
    if check == "covariate:warmth":
        assert verdicts[check].evidence["effect"] == pytest.approx(0.5, abs=0.15)  # one deviation, of normal distributions


def test_methods_are_chosen_apart():
    spec = make_spec(monitoring={"drift": {"categorical": "kl_divergence"}})
    verdicts = judged(spec, make_profile(spec), window())
    assert {name: verdict.evidence["method"] for name, verdict in verdicts.items()} == {
        "covariate:wind": "wasserstein",
        "covariate:warmth": "wasserstein",
        "covariate:city": "kl_divergence",
        "prediction_drift": "wasserstein",
    }


def test_a_version_is_measured_by_its_own_null_whatever_the_spec_says_since(spec, kl_spec, profile, kl_profile):
    predictions = window(warmer=4.0)
    assert judged(spec, kl_profile, predictions) == judged(kl_spec, kl_profile, predictions)
    assert judged(kl_spec, profile, predictions) == judged(spec, profile, predictions)


def test_a_profile_from_before_the_method_was_stored_counts_as_the_defaults(spec, kl_spec, profile, tmp_path):
    profile.write(tmp_path)
    plain = json.loads((tmp_path / PROFILE_FILE).read_text())
    for stored in (*plain["numeric"].values(), *plain["categorical"].values(), plain["prediction"]):
        for field in ("method", "edges", "bin_counts"):
            stored.pop(field, None)
    (tmp_path / PROFILE_FILE).write_text(json.dumps(plain))
    assert judged(kl_spec, read_profile(tmp_path), window()) == judged(spec, profile, window())


def test_empty_columns_are_inconclusive_and_no_error(kl_spec):
    train, _ = make_table(20, seed=1)
    holdout, honest = make_table(10, seed=2)
    found = build_profile(kl_spec, train.assign(wind=np.nan), holdout.assign(warmth=np.nan, city=None), honest, seed=1)
    verdicts = judged(kl_spec, found, window())
    assert {name for name, verdict in verdicts.items() if verdict.outcome is Outcome.INCONCLUSIVE} == {
        "covariate:wind",
        "covariate:warmth",
        "covariate:city",
    }
    assert (found.numeric["wind"].method, found.numeric["warmth"].null_share_bar) == ("kl_divergence", 1.0)


def test_the_predictions_null_is_that_of_windows_against_the_rest_of_the_hold_out(kl_spec):
    """A hold-out of two windows' rows: were each window part of its own reference, distances would be several times too small."""
    train, _ = make_table(20, seed=1)
    holdout, honest = make_table(2, seed=2, per_day=200)
    inside = build_profile(kl_spec, train, holdout, honest, seed=1).prediction.nulls[0]
    days = pandas.to_datetime(holdout["at"]).dt.day.to_numpy()
    first, second = honest[days == days[0]], honest[days == days[-1]]
    profile_of_first = build_profile(kl_spec, train, holdout[days == days[0]], first, seed=1)
    apart = profile_of_first.distance(PREDICTION, second)
    assert inside.median == pytest.approx(apart, rel=0.6)


@pytest.mark.parametrize(("key", "value"), [("numeric", "chi_square"), ("categorical", "wasserstein"), ("categorical", "ks")])
def test_other_methods_are_refused(key, value):
    with pytest.raises(ValidationError, match=f"monitoring.drift.{key}"):
        make_spec(monitoring={"drift": {key: value}})
