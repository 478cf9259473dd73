"""The retraining policy as a truth table, and what must hold for any signals and any past."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.decisions.policy import (
    RetrainingState,
    SignalView,
    cooldown_until,
    decide_retraining,
)
from tests.conftest import NOW
from tests.unit.lifecycle.monitoring.examples import make_spec

DAY = timedelta(days=1)
CALM = RetrainingState()
SPEC = make_spec(
    retraining={
        "mode": "auto",
        "cooldown": "24h",
        "budget_per_month": 4,
        "confirm": {"windows": 3, "of": 5, "spanning": "24h"},
    }
)


def signal(cause="decay:calibration_gap", **changes) -> SignalView:
    values = {"id": 1, "kind": cause.partition(":")[0], "cause": cause, "effect": 0.12, "severity": "act", "version": 1}
    return SignalView(**(values | {"windows_failed": 3, "spanning": 3 * DAY} | changes))


FAULT = signal("data_fault:wind", id=7, severity="critical")
DRIFT = signal("covariate:warmth", id=8, severity="warn", effect=0.9)
SCORES = signal("prediction_drift", id=9, severity="warn", effect=0.6)


@pytest.mark.parametrize(
    ("signals", "state", "act", "code"),
    [
        ([signal()], CALM, "retrain", "retrain"),
        ([signal(severity="concept")], CALM, "retrain", "retrain"),
        ([signal(severity="warn")], CALM, "alert", "alert:warn"),
        ([signal(windows_failed=2)], CALM, "wait", "wait:confirm"),
        ([signal(spanning=DAY / 2)], CALM, "wait", "wait:confirm"),
        ([DRIFT], CALM, "alert", "alert:no_decay"),
        ([SCORES], CALM, "alert", "alert:no_decay"),
        ([FAULT], CALM, "alert", "alert:data_fault"),
        ([signal("security:probing", severity="critical")], CALM, "alert", "alert:security"),
        ([signal("manual:person", windows_failed=1, spanning=timedelta(0))], CALM, "retrain", "retrain"),
        ([signal("age:30d", windows_failed=1, spanning=timedelta(0))], CALM, "retrain", "retrain"),
        ([signal()], RetrainingState(last_request_at=NOW - DAY / 2), "refuse", "refuse:cooldown"),
        ([signal()], RetrainingState(last_request_at=NOW - DAY), "retrain", "retrain"),
        ([signal()], RetrainingState(last_request_at=NOW - DAY, fruitless=1), "refuse", "refuse:cooldown"),
        ([signal()], RetrainingState(last_request_at=NOW - 2 * DAY, fruitless=1), "retrain", "retrain"),
        ([signal()], RetrainingState(last_request_at=NOW - 9 * DAY, fruitless=2), "suggest", "suggest"),
        ([signal()], RetrainingState(trainings_this_month=4), "refuse", "refuse:budget"),
        ([signal()], RetrainingState(trainings_this_month=3), "retrain", "retrain"),
        ([signal()], RetrainingState(champion=2), "wait", "wait:other_version"),
        ([signal()], RetrainingState(champion=1), "retrain", "retrain"),
        ([FAULT], RetrainingState(champion=2), "alert", "alert:data_fault"),
        ([signal()], RetrainingState(open_request="training request 3 is open"), "refuse", "refuse:open_request"),
        ([signal()], RetrainingState(open_rollout="rollout 2 is running"), "refuse", "refuse:open_rollout"),
        ([signal()], RetrainingState(spent={"decay:calibration_gap": 0.11}), "refuse", "refuse:spent"),
        ([signal()], RetrainingState(spent={"decay:calibration_gap": 0.08}), "retrain", "retrain"),
        ([signal()], RetrainingState(spent={"decay:roc_auc": 0.11}), "retrain", "retrain"),
        (
            [signal()],
            RetrainingState(last_request_at=NOW, open_rollout="rollout 2 is baking"),
            "refuse",
            "refuse:open_rollout+cooldown",
        ),
        ([], CALM, "none", None),
    ],
)
def test_truth_table(signals, state, act, code):
    decision = decide_retraining(signals, state, SPEC, NOW)
    assert decision.act == act
    if signals:
        assert decision.by_signal[signals[0].id].code == code
        assert decision.reason


@pytest.mark.parametrize(
    ("mode", "act", "code"),
    [("off", "refuse", "refuse:mode_off"), ("suggest", "suggest", "suggest"), ("approve", "approve", "approve")],
)
def test_modes(mode, act, code):
    decision = decide_retraining([signal()], CALM, make_spec(retraining={"mode": mode}), NOW)
    assert (decision.act, decision.by_signal[1].code) == (act, code)


def test_a_fault_freezes_what_else_would_retrain():
    decision = decide_retraining([signal(), FAULT], CALM, SPEC, NOW)
    assert decision.by_signal[1].code == "refuse:frozen"
    assert decision.by_signal[FAULT.id].act == "alert"
    assert "data_fault:wind" in decision.reason


def test_drift_joins_a_decay_of_the_same_version_only():
    other = signal("covariate:wind", id=10, severity="warn", version=2)
    decision = decide_retraining([DRIFT, signal(), SCORES, other], CALM, SPEC, NOW)
    assert decision.primary == 1
    assert {key for key, chosen in decision.by_signal.items() if chosen.act == "retrain"} == {1, DRIFT.id, SCORES.id}


def test_the_worst_decay_leads():
    ranking = signal("decay:roc_auc", id=2, severity="concept", effect=0.3)
    assert decide_retraining([signal(effect=0.9), ranking], CALM, SPEC, NOW).primary == 2
    lasting = signal(windows_failed=5)
    assert decide_retraining([lasting, ranking], CALM, SPEC, NOW).primary == 1


def test_cooldown_doubles_and_stops_doubling():
    ends = [cooldown_until(RetrainingState(last_request_at=NOW, fruitless=count), SPEC) for count in (0, 1, 2, 5, 50)]
    assert [end - NOW for end in ends] == [DAY, 2 * DAY, 4 * DAY, 32 * DAY, 32 * DAY]


kinds = st.sampled_from(
    ["decay:roc_auc", "decay:calibration_gap", "covariate:x", "prediction_drift", "data_fault:x", "security:x"]
)
some_signals = st.lists(
    st.builds(
        signal,
        kinds,
        effect=st.floats(0, 2),
        severity=st.sampled_from(["warn", "act", "concept", "critical"]),
        windows_failed=st.integers(0, 5),
        spanning=st.integers(0, 5).map(lambda days: days * DAY),
    ),
    max_size=5,
).map(lambda found: [each.model_copy(update={"id": place}) for place, each in enumerate(found)])
some_states = st.builds(
    RetrainingState,
    last_request_at=st.none() | st.integers(0, 80).map(lambda days: NOW - days * DAY),
    trainings_this_month=st.integers(0, 6),
    fruitless=st.integers(0, 4),
    spent=st.dictionaries(st.sampled_from(["decay:roc_auc", "decay:calibration_gap"]), st.floats(0, 2)),
    open_rollout=st.none() | st.just("rollout 1 is running"),
)


@given(some_signals, some_states)
def test_a_training_always_has_a_confirmed_unspent_decay_and_no_blocker(signals, state):
    decision = decide_retraining(signals, state, SPEC, NOW)
    assert set(decision.by_signal) == {each.id for each in signals}
    if decision.act != "retrain":
        assert not any(chosen.act == "retrain" for chosen in decision.by_signal.values())
        return
    primary = signals[decision.primary]
    assert primary.kind == "decay"
    assert primary.severity != "warn"
    assert primary.windows_failed >= 3
    assert primary.effect >= SPEC.retraining.spent_until_grown * state.spent.get(primary.cause, 0)
    assert not {each.kind for each in signals} & {"data_fault", "security"}
    assert state.open_rollout is None
    assert state.trainings_this_month < 4
    assert state.fruitless < 2
