"""What every kind of signal leads to, as a generated table: alone, beside a decay, beside an estimate, by policy, and by force.

As in test_truth_table.py the expectation is written down here by rules, apart from the policy's own code.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.decisions.policy import RetrainingState, SignalView, decide_retraining
from include.lifecycle.decisions.vocabulary import lower_bound
from include.lifecycle.monitoring.kinds import KINDS
from include.lifecycle.wording import in_words
from tests.conftest import NOW
from tests.unit.lifecycle.monitoring.examples import make_spec

DAY = timedelta(days=1)
DECAYS = ("decay", "estimated_decay")
INPUTS = ("covariate", "creep", "population", "equipment", "multivariate_drift")
ALONE = ("covariate", "population", "equipment")
CONFIRM = {"confirm": {"windows": 3, "of": 5, "spanning": "24h"}}
SPECS = {policy: make_spec(retraining=dict.fromkeys(ALONE, policy) | CONFIRM) for policy in ("support", "retrain")}
CALM = RetrainingState(champion=1)
AXES = {
    "kind": tuple(KINDS),
    "beside": (None, *DECAYS, "covariate"),
    "policy": ("support", "retrain"),
    "large": (True, False),
    "confirmed": (True, False),
    "beside_confirmed": (True, False),
    "force": (False, True),
}


def signal(kind: str, number: int = 1, *, confirmed: bool = True, lower: float | None = 0.5, **changes) -> SignalView:
    values = {"cause": f"{kind}:x{number}", "effect": 0.9, "severity": "act" if kind in DECAYS else "warn", "version": 1}
    seen = {"windows_failed": 3, "spanning": 3 * DAY} if confirmed else {"windows_failed": 2, "spanning": DAY}
    return SignalView(id=number, kind=kind, lower=lower, **(values | seen | changes))


def asks(kind: str, case: dict, confirmed: bool, large: bool, other: tuple[str | None, bool]) -> str:
    """Code of one signal, before what speaks against a training; `other`: kind of the second one, and whether it is confirmed."""
    leads = KINDS[kind].leads
    if leads in ("freeze", "warn"):
        return f"alert:{kind}"
    if kind == "estimated_decay":
        if other[0] not in INPUTS:
            return "alert:no_drift"
        if not (other[1] or case["force"]):
            return "wait:confirm_drift"
    elif leads == "support":
        if kind not in ALONE or case["policy"] == "support":
            return "alert:no_decay"
        if not large:
            return "alert:small"
    return "retrain" if confirmed or case["force"] else "wait:confirm"


def expected(case: dict) -> dict[int, str]:
    """The code of each signal."""
    kind, beside = case["kind"], case["beside"]
    first = asks(kind, case, case["confirmed"], case["large"], (beside, case["beside_confirmed"]))
    if beside is None:
        return {1: first}
    codes = {1: first, 2: asks(beside, case, case["beside_confirmed"], True, (kind, case["confirmed"]))}
    if "retrain" not in codes.values():
        return codes
    frozen = [name for name in (kind, beside) if KINDS[name].leads == "freeze"]
    if "security" in frozen or (frozen and not case["force"]):
        return {number: "refuse:frozen" if code == "retrain" else code for number, code in codes.items()}
    supports = {number for number, name in ((1, kind), (2, beside)) if KINDS[name].leads == "support"}
    return {number: "retrain" if number in supports else code for number, code in codes.items()}


def cases():
    for values in product(*AXES.values()):
        yield dict(zip(AXES, values, strict=True))


def test_every_kind_in_every_company():
    seen: Counter[str] = Counter()
    for case in cases():
        signals = [signal(case["kind"], confirmed=case["confirmed"], lower=0.5 if case["large"] else 0.2)]
        if case["beside"]:
            signals.append(signal(case["beside"], 2, confirmed=case["beside_confirmed"]))
        decision = decide_retraining(signals, CALM, SPECS[case["policy"]], NOW, force=case["force"])
        codes = expected(case)
        assert {number: chosen.code for number, chosen in decision.by_signal.items()} == codes, case
        assert (decision.act == "retrain") is ("retrain" in codes.values()), case
        assert all(chosen.reason for chosen in decision.by_signal.values())
        seen.update(codes.values())
    assert sum(seen.values()) == len(KINDS) * 32 * (1 + 2 * 3)
    assert {"retrain", "refuse:frozen", "wait:confirm", "wait:confirm_drift", "alert:small", "alert:no_drift"} <= set(seen)


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS.values() if kind.leads == "warn"])
def test_what_only_warns_never_trains(kind):
    company = [signal(kind), signal("covariate", 2), signal("prediction_drift", 3)]
    for policy, force in product(SPECS, (False, True)):
        assert decide_retraining(company[:1], CALM, SPECS[policy], NOW, force=force).act == "alert"
    decision = decide_retraining(company, CALM, SPECS["support"], NOW)
    assert (decision.act, decision.by_signal[1].code) == ("alert", f"alert:{kind}")


@pytest.mark.parametrize("kind", INPUTS)
def test_moved_inputs_and_an_estimated_decay_retrain_together(kind):
    both = [signal("estimated_decay"), signal(kind, 2), signal("prediction_drift", 3)]
    decision = decide_retraining(both, CALM, SPECS["support"], NOW)
    assert (decision.act, decision.primary) == ("retrain", 1)
    assert {number for number, chosen in decision.by_signal.items() if chosen.act == "retrain"} == {1, 2, 3}


@pytest.mark.parametrize("kind", ["prediction_drift", "attribution_drift", "skew", "bias"])
def test_nothing_else_makes_an_estimate_believed(kind):
    decision = decide_retraining([signal("estimated_decay"), signal(kind, 2)], CALM, SPECS["support"], NOW)
    assert (decision.act, decision.by_signal[1].code) == ("alert", "alert:no_drift")


def test_inputs_of_another_version_do_not_count():
    other = signal("covariate", 2, version=2)
    assert (
        decide_retraining([signal("estimated_decay"), other], CALM, SPECS["support"], NOW).by_signal[1].code == "alert:no_drift"
    )


def test_an_estimate_that_warns_and_one_that_was_trained_for():
    pair = [signal("estimated_decay", severity="warn"), signal("covariate", 2)]
    assert decide_retraining(pair, CALM, SPECS["support"], NOW).by_signal[1].code == "alert:warn"
    spent = RetrainingState(champion=1, spent={"estimated_decay:x1": 0.8})
    pair = [signal("estimated_decay"), signal("covariate", 2)]
    assert decide_retraining(pair, spent, SPECS["support"], NOW).by_signal[1].code == "refuse:spent"


def test_drift_by_policy_is_spent_like_a_decay():
    spent = RetrainingState(champion=1, spent={"covariate:x1": 0.8})
    assert decide_retraining([signal("covariate")], spent, SPECS["retrain"], NOW).act == "refuse"
    assert decide_retraining([signal("covariate", effect=1.3)], spent, SPECS["retrain"], NOW).act == "retrain"


def test_the_bar_of_the_policy_is_for_the_bound():
    unknown = decide_retraining([signal("covariate", lower=None)], CALM, SPECS["retrain"], NOW)
    assert unknown.by_signal[1].code == "alert:small"
    assert "no bound is known" in unknown.reason
    bar = SPECS["retrain"].monitoring.drift.act_effect
    at_it = decide_retraining([signal("covariate", lower=bar)], CALM, SPECS["retrain"], NOW)
    assert at_it.by_signal[1].code == "alert:small"


@given(st.floats(0, 10), st.floats(0, 10))
def test_a_distance_is_at_least_what_its_null_leaves(effect, null):
    found = lower_bound(effect, {"null_threshold": null})
    assert found is not None
    assert 0 <= found <= effect
    assert lower_bound(effect, {"null_threshold": null, "lower": 0.25}) == 0.25
    assert lower_bound(effect, {"rows": 3}) is None


def test_explain_says_what_drift_alone_does():
    told = {policy: " ".join(text for _, text in in_words(spec)) for policy, spec in SPECS.items()}
    assert "Drift of inputs alone never starts one; together with a decay that is only estimated" in told["support"]
    assert "Drift alone (covariate, population, equipment) starts one where its distance is surely above 0.3" in told["retrain"]
