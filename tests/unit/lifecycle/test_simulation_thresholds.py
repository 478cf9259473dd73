"""Stored verdicts judged by other bars must say what the checks themselves would have said with those bars."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.monitoring.measure import measure_window
from include.lifecycle.simulation.record import RolloutLook
from include.lifecycle.simulation.threshold_replay import rollbacks
from include.lifecycle.simulation.thresholds import changed_keys, key_names, refuse_unreplayable, rejudge
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Outcome, Verdict
from tests.conftest import NOW
from tests.unit.lifecycle.monitoring.examples import as_labelled, as_predictions, make_profile, make_spec, make_table

DAY = timedelta(days=1)
LATER = NOW + 400 * DAY


@pytest.fixture(scope="module")
def windows():
    """Windows that are quiet, warmer, and off in their rate; each with its labels."""
    found = []
    for seed, changes in enumerate(({}, {"warmer": 0.9}, {"warmer": 6.0}, {"rate_shift": -0.7}, {"rate_shift": -2.0})):
        frame, honest = make_table(1, per_day=400, seed=70 + seed, **changes)
        found.append((as_predictions(frame, honest, days=1), as_labelled(frame, honest)))
    return found


@pytest.fixture(scope="module")
def profile():
    return make_profile()


def measured(spec: ModelSpec, profile, pair) -> dict[str, Verdict]:
    row = measure_window(spec, profile, *pair, now=LATER, notes=[])
    return {plain["check"]: Verdict.model_validate(plain) for plain in row["verdicts"]}


BARS = [
    {},
    {"drift": {"minimum_effect": 0.0}},
    {"drift": {"minimum_effect": 0.5, "act_effect": 1.0}},
    {"drift": {"minimum_effect": 5.0}},
    {"performance": {"calibration_gap": 0.01}},
    {"performance": {"calibration_gap": 0.3}},
    {"performance": {"warn": 0.0, "act": 0.001, "concept": 0.002}},
    {"minimum_rows": 500},
    {"minimum_labels": 500},
]


@pytest.mark.parametrize("bars", BARS)
def test_a_stored_verdict_reads_as_a_fresh_one_would(bars, windows, profile):
    old, new = make_spec(), make_spec(monitoring=bars)
    for pair in windows:
        stored, fresh = measured(old, profile, pair), measured(new, profile, pair)
        for check, verdict in stored.items():
            found = rejudge(verdict, new)
            wanted = fresh.get(check)
            if wanted is None:  # below minimum_rows the faults are one verdict
                assert found.outcome is Outcome.INCONCLUSIVE, check
                continue
            assert found.outcome is wanted.outcome, (check, bars, found.reason, wanted.reason)
            for name in ("threshold", "severity", "above_act_effect"):
                if found.outcome is Outcome.FAIL and name in wanted.evidence:
                    assert found.evidence[name] == wanted.evidence[name], (check, name)


def test_the_bars_tried_here_change_something(windows, profile):
    outcomes = {
        (number, check): {rejudge(verdict, make_spec(monitoring=bars)).outcome for bars in BARS}
        for number, pair in enumerate(windows)
        for check, verdict in measured(make_spec(), profile, pair).items()
    }
    moved = {check for (_, check), found in outcomes.items() if {Outcome.PASS, Outcome.FAIL} <= found}
    assert {"covariate:warmth", "prediction_drift", "decay:calibration_gap"} & moved == {
        "covariate:warmth",
        "decay:calibration_gap",
    }


def test_what_was_inconclusive_or_has_no_bar_stays():
    unknown = Verdict(check="covariate:x", outcome=Outcome.INCONCLUSIVE, reason="too few", evidence={"effect": 9.0})
    fault = Verdict(check="data_fault:x", outcome=Outcome.FAIL, reason="nulls", evidence={"effect": 0.5, "rows": 1000})
    spec = make_spec(monitoring={"drift": {"minimum_effect": 0.0}})
    assert rejudge(unknown, spec) is unknown
    assert rejudge(fault, spec) is fault


@pytest.mark.parametrize(
    ("check", "evidence", "bars", "outcome"),
    [
        ("skew:x", {"effect": 0.3, "minimum_effect": 0.1, "null_threshold": 0.2}, {"skew": {"minimum_effect": 0.4}}, "pass"),
        ("skew:x", {"effect": 0.3, "minimum_effect": 0.1, "null_threshold": 0.2}, {"drift": {"minimum_effect": 0.3}}, "fail"),
        ("creep:x", {"effect": 0.3, "minimum_effect": 0.1, "null_threshold": 0.2}, {"creep": {"minimum_effect": 0.4}}, "pass"),
        ("attribution_drift", {"effect": 0.12, "null_threshold": 0.05, "minimum_effect": 0.1}, {}, "fail"),
        (
            "attribution_drift",
            {"effect": 0.12, "null_threshold": 0.05, "minimum_effect": 0.1},
            {"attribution": {"minimum_ndcg": 0.8}},
            "pass",
        ),
        ("multivariate_drift", {"auc": 0.7, "lower": 0.66, "null_threshold": 0.6, "effect": 0.2}, {}, "fail"),
        (
            "multivariate_drift",
            {"auc": 0.7, "lower": 0.66, "null_threshold": 0.6, "effect": 0.2},
            {"multivariate": {"maximum_auc": 0.68}},
            "inconclusive",
        ),
        ("estimated_decay:roc_auc", {"lower": 0.06, "effect": 0.1, "rung": "act", "estimated": True}, {}, "fail"),
        (
            "estimated_decay:roc_auc",
            {"lower": 0.06, "effect": 0.1, "rung": "act", "estimated": True},
            {"performance": {"notice": 0.09, "warn": 0.1, "act": 0.12, "concept": 0.15}},
            "inconclusive",
        ),
        ("decay:floor_accuracy", {"lower": 0.2, "effect": 0.3, "threshold": 0.8}, {}, "fail"),
    ],
)
def test_the_bars_of_other_kinds(check, evidence, bars, outcome):
    stored = Verdict(check=check, outcome=Outcome.FAIL, reason="r", evidence=evidence | {"rows": 1000})
    assert rejudge(stored, make_spec(monitoring=bars)).outcome == outcome


@pytest.mark.parametrize(
    ("check", "rows"),
    [("traffic:rows", 0), ("access:denied", 40), ("security:burst", 40), ("labels:coverage", 40), ("labels:conflicts", 400)],
)
def test_a_verdict_on_traffic_itself_stands_on_any_number_of_rows(check, rows):
    """Silence is what `traffic:rows` is for: unchanged keys must replay what was stored. Label rows have their own minimum."""
    stored = Verdict(check=check, outcome=Outcome.FAIL, reason="r", evidence={"rows": rows, "effect": 1.0, "threshold": 0.1})
    assert rejudge(stored, make_spec(monitoring={"minimum_rows": 1000, "minimum_labels": 300})) == stored


def test_changes_are_named_key_by_key():
    before, after = make_spec(), make_spec(monitoring={"drift": {"minimum_effect": 0.2}}, retraining={"cooldown": "48h"})
    changes = changed_keys(before, after)
    assert set(changes) == {"monitoring.drift.minimum_effect", "retraining.cooldown"}
    assert changes["monitoring.drift.minimum_effect"] == (0.1, 0.2)
    refuse_unreplayable(changes)
    assert set(changes) <= set(key_names(before))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"monitoring": {"window": "2d"}}, "monitoring.window: stored windows have the old length"),
        ({"monitoring": {"drift": {"false_alarms_per_quarter": 4}}}, "drawn for the old budget"),
        ({"monitoring": {"drift": {"numeric": "kl_divergence"}}}, "measured by the old method"),
        ({"monitoring": {"minimum_rows": 100}}, "100 is below 200"),
        ({"retraining": {"answer_within": "1h"}}, "nobody answers in a replay"),
        ({"data": {"window": "30d"}}, "data.window: it is no threshold"),
        ({"rollout": {"limits": {"error_rate": 0.3}}}, "rollout.limits.error_rate: it is no threshold"),
    ],
)
def test_what_cannot_be_replayed_is_refused_by_name(change, told):
    with pytest.raises(SpecInvalidError, match=told):
        refuse_unreplayable(changed_keys(make_spec(), make_spec(**change)))


def look(rollout: int, day: int, act: str = "shift_traffic", drop: float | None = None, failed: tuple[str, ...] = ()):
    return RolloutLook(rollout, rollout + 1, at(day), act, drop, failed)


def at(day: int) -> datetime:
    return NOW + day * DAY


def test_rollbacks_by_another_limit_of_lost_skill():
    looks = [
        look(1, 0),
        look(1, 1, drop=0.12),
        look(1, 2, "promote", drop=0.15),
        look(2, 3, drop=0.21),
        look(2, 4, "roll_back", drop=0.25, failed=("performance",)),
        look(3, 5, "roll_back", failed=("error_rate",)),
    ]
    assert [(one.subject, one.at) for one in rollbacks(looks, 0.1)] == [
        ("rollout 1", at(1)),
        ("rollout 2", at(3)),
        ("rollout 3", at(5)),
    ]
    assert [(one.subject, one.at) for one in rollbacks(looks, 0.22)] == [("rollout 2", at(4)), ("rollout 3", at(5))]
    assert [one.subject for one in rollbacks(looks, 0.9)] == ["rollout 3"]
