"""Bias of live windows: fairlearn's numbers, limit and growth, small groups, and false alarms by simulation."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas
import pytest
from fairlearn.metrics import MetricFrame, demographic_parity_difference, equal_opportunity_difference
from sklearn.metrics import precision_score

from include.lifecycle.monitoring.labels import Labelled, fairness_columns, labelled_predictions, mature_labels
from include.lifecycle.monitoring.outcomes.bias import check_bias
from include.lifecycle.monitoring.outcomes.groups import edges_of, group_names, is_numeric
from include.lifecycle.monitoring.profile import build_profile
from include.lifecycle.sections.data import ColumnSection
from tests.unit.lifecycle.monitoring.examples import START, as_predictions, make_spec, make_table

LIVE = START + timedelta(days=200)
FAIR = {"evaluation": {"fairness": {"attributes": ["city"], "minimum_group": 30}}}


def scored(days, *, seed, start=LIVE, per_day=400, favour=0.0, cities=("Oslo", "Rome")):
    """Two cities; Oslo's scores are raised by `favour`."""
    frame, honest = make_table(days, start=start, per_day=per_day, seed=seed)
    frame["city"] = np.random.default_rng(seed).choice(np.array(cities, dtype=object), len(frame))
    return frame, np.clip(honest + favour * (frame["city"] == "Oslo").to_numpy(), 0, 1)


@pytest.fixture(scope="module")
def fair():
    return make_spec(**FAIR)


@pytest.fixture(scope="module")
def known(fair):
    train, _ = scored(100, seed=11, start=START, per_day=100)
    holdout, honest = scored(30, seed=12, start=START + timedelta(days=150))
    return build_profile(fair, train, holdout, honest, seed=3)


def window(spec=None, *, keep=1.0, days=4, **changes):
    frame, p = scored(days, **({"seed": 21} | changes))
    predictions = as_predictions(frame, p, days=days, start=LIVE)
    some = np.flatnonzero(np.random.default_rng(1).random(len(frame)) < keep)
    labelled = Labelled(frame["wet"].to_numpy(np.float64)[some], p[some], predictions.times[some], keep, some)
    return predictions, labelled, frame, p


def by_measure(verdicts):
    return {verdict.check.rpartition(":")[2]: verdict for verdict in verdicts}


def test_gaps_are_fairlearns(fair, known):
    predictions, labelled, frame, p = window(favour=0.15)
    found = by_measure(check_bias(fair, known, predictions, labelled))
    y, acts, groups = frame["wet"].to_numpy(), (p >= 0.5).astype(int), frame["city"].to_numpy()
    told = {"sensitive_features": groups}
    precision = MetricFrame(metrics=precision_score, y_true=y, y_pred=acts, **told).difference()
    wanted = {
        "demographic_parity": demographic_parity_difference(y, acts, **told),
        "equal_opportunity": equal_opportunity_difference(y, acts, **told),
        "predictive_parity": precision,
    }
    assert {name: verdict.evidence["effect"] for name, verdict in found.items()} == pytest.approx(wanted, abs=1e-6)


def test_a_gap_above_the_limit_acts(fair, known):
    predictions, labelled, *_ = window(favour=0.25)
    verdict = by_measure(check_bias(fair, known, predictions, labelled))["demographic_parity"]
    assert verdict.check == "bias:city:demographic_parity"
    assert (verdict.outcome, verdict.evidence["severity"]) == ("fail", "act")
    assert verdict.evidence["lower"] > 0.05
    assert verdict.evidence["groups"] == ["Oslo", "Rome"]


def test_a_gap_within_the_limit_that_grew_warns(known):
    lenient = make_spec(evaluation={"fairness": {"attributes": ["city"], "minimum_group": 30, "max_gap": 0.5}})
    predictions, labelled, *_ = window(favour=0.2)
    verdict = by_measure(check_bias(lenient, known, predictions, labelled))["demographic_parity"]
    assert (verdict.outcome, verdict.evidence["severity"]) == ("fail", "warn")
    assert "grew by more than 0.01" in verdict.reason
    assert verdict.evidence["reference_value"] < 0.05
    patient = make_spec(
        evaluation={"fairness": {"attributes": ["city"], "minimum_group": 30, "max_gap": 0.5}},
        monitoring={"bias": {"increase": 0.4}},
    )
    assert by_measure(check_bias(patient, known, predictions, labelled))["demographic_parity"].passed


def test_demographic_parity_needs_no_labels(fair, known):
    predictions, *_ = window(favour=0.25)
    nothing = Labelled(np.empty(0), np.empty(0), np.empty(0, dtype=np.int64), 0.0, np.empty(0, dtype=np.int64))
    found = by_measure(check_bias(fair, known, predictions, nothing))
    assert {name: verdict.outcome for name, verdict in found.items()} == {
        "demographic_parity": "fail",
        "equal_opportunity": "inconclusive",
        "predictive_parity": "inconclusive",
    }


def test_part_of_the_labels_joins_the_right_groups(fair, known):
    predictions, labelled, frame, p = window(favour=0.3, keep=0.6, days=8)
    verdict = by_measure(check_bias(fair, known, predictions, labelled))["equal_opportunity"]
    some = labelled.places
    wanted = equal_opportunity_difference(
        frame["wet"].to_numpy()[some], p[some] >= 0.5, sensitive_features=frame["city"].to_numpy()[some]
    )
    assert verdict.evidence["effect"] == pytest.approx(wanted, abs=1e-6)


def test_small_groups_are_named_and_never_fair(known):
    strict = make_spec(evaluation={"fairness": {"attributes": ["city"], "minimum_group": 600, "max_gap": 0.9}})
    frame, p = scored(4, seed=5)
    frame.loc[:20, "city"] = "Bern"
    predictions = as_predictions(frame, p, days=4, start=LIVE)
    labelled = Labelled(frame["wet"].to_numpy(np.float64), p, predictions.times, 1.0, np.arange(len(frame)))
    verdict = by_measure(check_bias(strict, known, predictions, labelled))["demographic_parity"]
    assert (verdict.outcome, verdict.evidence["too_small"]) == ("inconclusive", ["Bern"])


def test_nothing_declared_nothing_said_and_what_is_not_logged_is_inconclusive(known):
    predictions, labelled, *_ = window()
    assert check_bias(make_spec(), known, predictions, labelled) == []
    (verdict,) = check_bias(make_spec(evaluation={"fairness": {"attributes": ["sex"]}}), known, predictions, labelled)
    assert (verdict.check, verdict.outcome) == ("bias:sex", "inconclusive")
    assert "no feature, and labels.query did not return it" in verdict.reason


def test_honest_windows_raise_no_alarm_within_the_budget(fair, known):
    """A quarter of daily windows: the budget is one false alarm, of which bias has a part."""
    alarms = 0
    for day in range(91):
        predictions, labelled, *_ = window(days=1, seed=500 + day)
        alarms += sum(verdict.failed for verdict in check_bias(fair, known, predictions, labelled))
    assert alarms == 0


def test_numbers_are_cut_where_the_hold_out_was(fair):
    values = np.arange(100.0)
    edges = edges_of(values, 4)
    groups = group_names({"wind": np.append(values[:30], np.nan)}, 4, {"wind": edges})
    assert set(groups) == {"below 24.75", "24.75 to 49.5", "(none)"}
    both = group_names({"wind": values[:2], "city": np.array(["Oslo", None], dtype=object)}, 4, {"wind": edges})
    assert both.tolist() == ["below 24.75 and Oslo", "below 24.75 and (none)"]


def test_an_attribute_that_is_no_feature_comes_with_the_labels():
    spec = make_spec(evaluation={"fairness": {"attributes": ["sex"], "minimum_group": 30}})
    train, _ = scored(60, seed=11, start=START, per_day=100)
    holdout, honest = scored(30, seed=12, start=START + timedelta(days=150))
    sexes = np.array(["f", "m"], dtype=object)
    known = build_profile(spec, train, holdout.assign(sex=np.random.default_rng(4).choice(sexes, len(holdout))), honest, seed=3)
    assert {(one.attribute, one.measure) for one in known.groups} == {
        ("sex", name) for name in ("demographic_parity", "equal_opportunity", "predictive_parity")
    }
    frame, honest = make_table(4, start=LIVE, per_day=400, seed=21)
    frame["sex"] = np.random.default_rng(5).choice(sexes, len(frame))
    p = np.clip(honest + 0.3 * (frame["sex"] == "f").to_numpy(), 0, 1)
    predictions = as_predictions(frame, p, days=4, start=LIVE)
    mine = frame.iloc[::2]
    outcomes = pandas.DataFrame({"key": mine["id"], "event_time": mine["at"], "label": mine["wet"], "known_at": mine["at"]})
    labels = mature_labels(outcomes.assign(sex=mine["sex"]).sample(frac=1, random_state=1), LIVE + timedelta(days=9), 2**60)
    labelled = labelled_predictions(predictions, labels)
    assert labelled.groups["sex"].tolist() == mine["sex"].tolist()
    verdict = by_measure(check_bias(spec, known, predictions, labelled))["demographic_parity"]
    wanted = demographic_parity_difference(mine["wet"], p[::2] >= 0.5, sensitive_features=mine["sex"])
    assert (verdict.outcome, verdict.evidence["rows"]) == ("fail", 800)
    assert verdict.evidence["effect"] == pytest.approx(wanted, abs=1e-6)


def test_only_attributes_that_are_no_feature_and_not_hidden_are_asked_for():
    fair = {"fairness": {"attributes": ["city", "sex", "income"]}}
    hidden = {"income": ColumnSection.model_construct(pii="hash")}
    spec = make_spec(evaluation=fair).model_copy(update={"columns": hidden})
    assert fairness_columns(spec) == ["sex"]


@pytest.mark.parametrize(
    ("values", "numeric"), [([1, 2.5, None], True), ([True, False], False), (["1", None], False), ([None], False)]
)
def test_numbers_among_objects(values, numeric):
    assert is_numeric(np.array(values, dtype=object)) is numeric
