"""The retraining policy: open signals and the model's state in, one decision with a reason per signal out. Pure.

Each signal is weighed alone first (weighing.py); what then asks for a training meets the model's blockers (blocking.py).
Nothing is lost by a refusal: the signal stays open and is decided again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from include.lifecycle.decisions.blocking import blockers, cooldown_until
from include.lifecycle.decisions.calendar import next_start
from include.lifecycle.decisions.vocabulary import (
    SUPPORTING,
    Act,
    Decision,
    Frozen,
    RetrainingState,
    SignalDecision,
    SignalView,
)
from include.lifecycle.decisions.weighing import weigh
from include.lifecycle.spec import ModelSpec

__all__ = [
    "Act",
    "Decision",
    "Frozen",
    "RetrainingState",
    "SignalDecision",
    "SignalView",
    "blockers",
    "cooldown_until",
    "decide_retraining",
    "evidence_of",
    "weigh",
]


def decide_retraining(
    signals: Sequence[SignalView],
    state: RetrainingState,
    spec: ModelSpec,
    now: datetime,
    *,
    check: bool = False,
    force: bool = False,
) -> Decision:
    """Decide on all open signals of one model at event time `now`.

    `check`: the same decision, marked as one that nobody acts upon. `force`: a person lifts what is caution (mode, stop, freeze
    by calendar or data fault, confirmation, spent causes, cooldown, budget); security, an open request or rollout stay.
    `evidence["rules_named"]` lists the rules that decided.
    """
    weighed = {signal.id: weigh(signal, state, spec, beside=signals, force=force) for signal in signals}
    asking = [signal for signal in signals if weighed[signal.id].act == "retrain"]
    evidence = evidence_of(state, spec, now) | {"forced": force}
    if not asking:
        decided = _without_training(signals, weighed, evidence)
    elif blocks := blockers(signals, state, spec, now, force=force):
        decided = _refused(asking, weighed, blocks, evidence)
    else:
        decided = _with_training(signals, asking, weighed, state, spec, evidence, force=force)
    return decided.model_copy(update={"check": check})


def evidence_of(state: RetrainingState, spec: ModelSpec, now: datetime) -> dict[str, Any]:
    """What a decision at event time `now` rests on: state, rules in force, the effect at which a spent cause counts again, and
    the earliest time at which the calendar lets a training start."""
    rules = spec.retraining
    counts_again = {cause: effect * rules.spent_until_grown for cause, effect in (state.spent | state.declined).items()}
    return {
        "now": now.isoformat(),
        "state": state.model_dump(mode="json"),
        "rules": rules.model_dump(mode="json"),
        "spent_until": counts_again,
        "starts_at": next_start(rules.window, rules.freeze, now).isoformat(),
    }


def _refused(
    asking: Sequence[SignalView], weighed: dict[int, SignalDecision], blocks: dict[str, str], evidence: dict[str, Any]
) -> Decision:
    refused = SignalDecision(act="refuse", code=f"refuse:{'+'.join(blocks)}", reason="; ".join(blocks.values()))
    return Decision(
        act="refuse",
        reason=refused.reason,
        primary=max(asking, key=_strength).id,
        by_signal=weighed | {signal.id: refused for signal in asking},
        evidence=evidence | {"rules_named": list(blocks)},
    )


def _with_training(
    signals: Sequence[SignalView],
    asking: Sequence[SignalView],
    weighed: dict[int, SignalDecision],
    state: RetrainingState,
    spec: ModelSpec,
    evidence: dict[str, Any],
    *,
    force: bool,
) -> Decision:
    """Nothing speaks against it: train, train after approval, or ask whether to train at all."""
    primary = max(asking, key=_strength)
    why = f"{primary.cause}: {primary.reason or f'effect {primary.effect:.3g}'}; {weighed[primary.id].reason}"
    joined = [*asking, *(other for other in signals if other.kind in SUPPORTING and other.version == primary.version)]
    suggested = None if force else _why_suggest(state, spec)
    if suggested:
        reason = f"a person should decide ({suggested[1]}): {why}"
        chosen, named, joined = SignalDecision(act="suggest", code="suggest", reason=reason), suggested[0], list(asking)
    elif spec.retraining.mode == "approve" and not force:
        reason = f"requested, and waits for a person's approval (retraining.mode is approve): {why}"
        chosen, named = SignalDecision(act="approve", code="approve", reason=reason), "mode_approve"
    else:
        chosen, named = SignalDecision(act="retrain", code="retrain", reason=why), "forced" if force else "retrain"
    return Decision(
        act=chosen.act,
        reason=chosen.reason,
        primary=primary.id,
        by_signal=weighed | {signal.id: chosen for signal in joined},
        evidence=evidence | {"rules_named": [named]},
    )


def _strength(signal: SignalView) -> tuple[bool, int, bool, float, int]:
    """Decay before other kinds, then what failed most often, then concept drift, then the larger effect, then the older one."""
    return signal.kind == "decay", signal.windows_failed, signal.severity == "concept", signal.effect, -signal.id


def _why_suggest(state: RetrainingState, spec: ModelSpec) -> tuple[str, str] | None:
    """Rule and words why a person is asked first: the mode says so, or too many in a row came to nothing; None otherwise."""
    if spec.retraining.mode == "suggest":
        return "mode_suggest", "retraining.mode is suggest"
    if state.fruitless >= spec.retraining.suggest_after:
        return "fruitless", f"{state.fruitless} trainings in a row promoted nothing"
    return None


def _without_training(signals: Sequence[SignalView], weighed: dict[int, SignalDecision], evidence: dict[str, Any]) -> Decision:
    if not signals:
        return Decision(act="none", reason="no open signal", evidence=evidence | {"rules_named": []})
    order: tuple[Act, ...] = ("refuse", "wait", "alert")
    leading = min(weighed.values(), key=lambda decision: order.index(decision.act))
    named = sorted({decision.code.partition(":")[2] for decision in weighed.values() if decision.act == leading.act})
    return Decision(act=leading.act, reason=leading.reason, by_signal=weighed, evidence=evidence | {"rules_named": named})
