"""The retraining decision as a generated truth table: every combination of mode, check, freeze, past and force.

The expectation is written down here by rules, apart from the policy's own code: first what keeps the signal from asking, then
what blocks a training, then how it is started.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import product

from include.lifecycle.decisions.policy import RetrainingState, SignalView, decide_retraining
from tests.conftest import NOW
from tests.unit.lifecycle.monitoring.examples import make_spec

DAY = timedelta(days=1)
CAUSE = "decay:calibration_gap"
MODES = ("off", "suggest", "approve", "auto")
AXES = {
    "mode": MODES,
    "check": (False, True),
    "frozen_by": (None, "data_fault", "security"),
    "cooling": (False, True),
    "confirmed": (True, False),
    "answered": (None, "spent", "declined"),
    "fruitless": (False, True),
    "over_budget": (False, True),
    "calendar": (False, True),
    "rollout": (False, True),
    "force": (False, True),
}


def expected(case: dict[str, object]) -> tuple[str, str, list[str]]:
    """Act, code of the decay signal, and the rules that the evidence must name."""
    if not case["force"]:
        if not case["confirmed"]:
            return "wait", "wait:confirm", ["confirm"]
        if case["answered"]:
            return "refuse", f"refuse:{case['answered']}", [str(case["answered"])]
    blocks = ["mode_off"] if case["mode"] == "off" and not case["force"] else []
    if case["frozen_by"] == "security" or (case["frozen_by"] and not case["force"]):
        blocks.append("frozen")
    if case["rollout"]:
        blocks.append("open_rollout")
    if not case["force"]:
        blocks += [
            name for key, name in (("calendar", "freeze"), ("cooling", "cooldown"), ("over_budget", "budget")) if case[key]
        ]
    if blocks:
        return "refuse", f"refuse:{'+'.join(blocks)}", blocks
    return expected_start(case)


def expected_start(case: dict[str, object]) -> tuple[str, str, list[str]]:
    """How a training that nothing blocks is started."""
    if case["force"]:
        return "retrain", "retrain", ["forced"]
    if case["mode"] == "suggest" or case["fruitless"]:
        return "suggest", "suggest", ["mode_suggest" if case["mode"] == "suggest" else "fruitless"]
    return ("approve", "approve", ["mode_approve"]) if case["mode"] == "approve" else ("retrain", "retrain", ["retrain"])


WORDS = {
    "mode_off": "mode is off",
    "frozen": "frozen by",
    "open_rollout": "rollout 2",
    "freeze": "retraining.freeze",
    "cooldown": "cooldown until",
    "budget": "budget of 4",
    "confirm": "asked for",
    "spent": "spent:",
    "declined": "declined",
    "forced": "forces",
    "mode_suggest": "mode is suggest",
    "fruitless": "promoted nothing",
    "mode_approve": "waits for a person's approval",
    "retrain": CAUSE,
}


def signals_of(case) -> list[SignalView]:
    decay = SignalView(
        id=1,
        kind="decay",
        cause=CAUSE,
        effect=0.12,
        severity="act",
        version=1,
        windows_failed=3 if case["confirmed"] else 2,
        spanning=3 * DAY,
    )
    if not case["frozen_by"]:
        return [decay]
    cause = f"{case['frozen_by']}:x"
    return [decay, SignalView(id=2, kind=case["frozen_by"], cause=cause, effect=1.0, severity="critical", version=1)]


def state_of(case) -> RetrainingState:
    effects = {CAUSE: 0.1}
    return RetrainingState(
        last_request_at=NOW - (DAY / 2 if case["cooling"] else 90 * DAY),
        trainings_this_month=4 if case["over_budget"] else 3,
        fruitless=2 if case["fruitless"] else 0,
        spent=effects if case["answered"] == "spent" else {},
        declined=effects if case["answered"] == "declined" else {},
        champion=1,
        open_rollout="rollout 2 of version 2 is running" if case["rollout"] else None,
    )


SPECS = {
    (mode, frozen): make_spec(
        retraining={
            "mode": mode,
            "cooldown": "24h",
            "budget_per_month": 4,
            "confirm": {"windows": 3, "of": 5, "spanning": "24h"},
            "freeze": [f"{NOW:%Y-%m-%d}"] if frozen else [],
        }
    )
    for mode, frozen in product(MODES, (False, True))
}


def test_every_combination():
    acts: Counter[str] = Counter()
    for values in product(*AXES.values()):
        case = dict(zip(AXES, values, strict=True))
        spec = SPECS[case["mode"], case["calendar"]]
        decision = decide_retraining(signals_of(case), state_of(case), spec, NOW, check=case["check"], force=case["force"])
        act, code, named = expected(case)
        assert (decision.act, decision.by_signal[1].code) == (act, code), case
        assert decision.evidence["rules_named"] == named, case
        assert all(WORDS[rule] in decision.reason for rule in named), (case, decision.reason)
        assert decision.check is case["check"]
        assert decision.evidence["state"]["champion"] == 1
        if case["frozen_by"]:
            assert decision.by_signal[2].act == "alert", case
        acts[decision.act] += 1
    assert sum(acts.values()) == 9216
    assert set(acts) == {"retrain", "approve", "suggest", "wait", "refuse"}


def test_asking_changes_nothing_about_the_answer():
    for values in product(*(values for name, values in AXES.items() if name != "check")):
        case = dict(zip((name for name in AXES if name != "check"), values, strict=True))
        arguments = (signals_of(case), state_of(case), SPECS[case["mode"], case["calendar"]], NOW)
        asked = decide_retraining(*arguments, check=True, force=case["force"])
        assert asked.model_copy(update={"check": False}) == decide_retraining(*arguments, force=case["force"])


def test_what_never_asks_does_not_ask_by_force():
    drift = SignalView(id=1, kind="covariate", cause="covariate:x", effect=2.0, severity="warn", version=1)
    warning = SignalView(id=2, kind="decay", cause=CAUSE, effect=0.03, severity="warn", version=1)
    other = SignalView(id=3, kind="decay", cause=CAUSE, effect=0.3, severity="act", version=7)
    for signal in (drift, warning, other):
        decision = decide_retraining([signal], RetrainingState(champion=1), SPECS["auto", False], NOW, force=True)
        assert decision.act in ("alert", "wait"), signal


def test_a_stop_refuses_and_says_who_and_a_person_may_lift_it():
    case = dict.fromkeys(AXES) | {"confirmed": True}
    state = state_of(case).model_copy(update={"stopped": "unattended training was stopped by ann: audit"})
    refused = decide_retraining(signals_of(case), state, SPECS["auto", False], NOW)
    assert (refused.act, refused.by_signal[1].code) == ("refuse", "refuse:stopped")
    assert "stopped by ann: audit" in refused.reason
    assert decide_retraining(signals_of(case), state, SPECS["auto", False], NOW, force=True).act == "retrain"


def test_an_age_is_spent_by_one_training_until_it_has_grown():
    age = SignalView(id=1, kind="age", cause="age:champion", effect=1.1, severity="act", version=1)
    spent = RetrainingState(champion=1, spent={"age:champion": 1.05})
    assert decide_retraining([age], spent, SPECS["auto", False], NOW).by_signal[1].code == "refuse:spent"
    older = age.model_copy(update={"effect": 1.6})
    assert decide_retraining([older], spent, SPECS["auto", False], NOW).act == "retrain"
    volume = SignalView(id=1, kind="volume", cause="volume:new_rows", effect=1.0, severity="act")
    again = RetrainingState(champion=1, spent={"volume:new_rows": 1.0})
    assert decide_retraining([volume], again, SPECS["auto", False], NOW).act == "retrain"
