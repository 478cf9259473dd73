"""The retraining policy: open signals and the model's state in, one decision with a reason per signal out. Pure.

Each signal is weighed alone first (kind, severity, confirmed, spent); what then asks for a training meets the model's blockers.
Nothing is lost by a refusal: the signal stays open and is decided again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from include.lifecycle.spec import ModelSpec
from include.lifecycle.units import format_duration

Act = Literal["retrain", "suggest", "alert", "wait", "refuse", "none"]

FREEZING = ("data_fault", "security")
SUPPORTING = ("covariate", "prediction_drift")
UNCONFIRMED = ("volume", "age", "manual", "external")
"""Kinds that are facts, not measurements: they need no confirmation by further windows."""
RESPENT = 1.5
"""A cause is spent after one training for it, until its effect has grown by this factor."""
SUGGEST_AFTER = 2
_LARGEST_DOUBLING = 5


class Frozen(BaseModel):
    """Base of the policy's vocabulary."""

    model_config = ConfigDict(frozen=True)


class SignalView(Frozen):
    """What the policy sees of an open signal. `spanning`: from the first to the last failed window of the last `confirm.of`."""

    id: int
    kind: str
    cause: str
    effect: float
    severity: str
    version: int | None = None
    windows_failed: int = 1
    spanning: timedelta = timedelta(0)
    reason: str = ""


class RetrainingState(Frozen):
    """What happened before. `fruitless`: trainings for signals in a row that promoted nothing. `spent`: effect of each cause of
    the present version when it was trained for."""

    last_request_at: datetime | None = None
    trainings_this_month: int = 0
    fruitless: int = 0
    spent: dict[str, float] = {}
    champion: int | None = None
    open_request: str | None = None
    open_rollout: str | None = None


class SignalDecision(Frozen):
    """What is done about one signal. `code` names act and rule without numbers: a decision changed when its code did."""

    act: Act
    code: str
    reason: str


class Decision(Frozen):
    """What is done about the model: the act, why, each signal's own decision, and the numbers it rests on.

    With act `retrain`, `primary` is what the training is for; every signal whose own act is `retrain` is accepted with it.
    """

    act: Act
    reason: str
    primary: int | None = None
    by_signal: dict[int, SignalDecision] = {}
    evidence: dict[str, Any] = {}


def decide_retraining(signals: Sequence[SignalView], state: RetrainingState, spec: ModelSpec, now: datetime) -> Decision:
    """Decide on all open signals of one model at event time `now`."""
    weighed = {signal.id: weigh(signal, state, spec) for signal in signals}
    asking = [signal for signal in signals if weighed[signal.id].act == "retrain"]
    if not asking:
        return _without_training(signals, weighed)
    blocks = blockers(signals, state, spec, now)
    primary = max(asking, key=_strength)
    evidence = evidence_of(state, spec, now)
    if blocks:
        refused = SignalDecision(act="refuse", code=f"refuse:{'+'.join(blocks)}", reason="; ".join(blocks.values()))
        by_signal = weighed | {signal.id: refused for signal in asking}
        return Decision(act="refuse", reason=refused.reason, primary=primary.id, by_signal=by_signal, evidence=evidence)
    why = f"{primary.cause}: {primary.reason or f'effect {primary.effect:.3g}'}; {weighed[primary.id].reason}"
    if suggested := _why_suggest(state, spec):
        chosen = SignalDecision(act="suggest", code="suggest", reason=f"a person should decide ({suggested}): {why}")
        joined = asking
    else:
        chosen = SignalDecision(act="retrain", code="retrain", reason=why)
        joined = [*asking, *(other for other in signals if other.kind in SUPPORTING and other.version == primary.version)]
    by_signal = weighed | {signal.id: chosen for signal in joined}
    return Decision(act=chosen.act, reason=chosen.reason, primary=primary.id, by_signal=by_signal, evidence=evidence)


def _strength(signal: SignalView) -> tuple[bool, int, bool, float, int]:
    """Decay before other kinds, then what failed most often, then concept drift, then the larger effect, then the older one."""
    return signal.kind == "decay", signal.windows_failed, signal.severity == "concept", signal.effect, -signal.id


def weigh(signal: SignalView, state: RetrainingState, spec: ModelSpec) -> SignalDecision:
    """What this signal alone asks for: retrain, alert, wait (not confirmed yet) or refuse (spent)."""
    if signal.kind in FREEZING:
        return _alert(signal.kind, f"{signal.cause} freezes training until it is resolved")
    if state.champion is not None and signal.version not in (None, state.champion):
        why = f"version {state.champion} took over from version {signal.version}; monitoring will resolve it"
        return SignalDecision(act="wait", code="wait:other_version", reason=why)
    if signal.kind in SUPPORTING:
        return _alert("no_decay", f"{signal.kind} alone retrains only if performance fails too")
    if signal.severity == "warn":
        return _alert("warn", f"{signal.cause} is below the bar that retrains")
    if signal.kind in UNCONFIRMED:
        return SignalDecision(act="retrain", code="retrain", reason=f"{signal.kind} asks for a training")
    return _measured(signal, state, spec)


def _alert(rule: str, reason: str) -> SignalDecision:
    return SignalDecision(act="alert", code=f"alert:{rule}", reason=reason)


def _measured(signal: SignalView, state: RetrainingState, spec: ModelSpec) -> SignalDecision:
    """A decay is acted upon once: confirmed by enough windows, and not trained for before at nearly this effect."""
    confirm = spec.retraining.confirm
    seen = f"failed in {signal.windows_failed} of the last {confirm.of} windows over {format_duration(signal.spanning)}"
    if signal.windows_failed < confirm.windows or signal.spanning < confirm.spanning:
        wanted = f"{confirm.windows} over {format_duration(confirm.spanning)} are asked for"
        return SignalDecision(act="wait", code="wait:confirm", reason=f"{seen}; {wanted}")
    before = state.spent.get(signal.cause)
    if before is not None and signal.effect < before * RESPENT:
        reason = f"spent: trained for at effect {before:.3g}, now {signal.effect:.3g}, not {RESPENT:g} times as much"
        return SignalDecision(act="refuse", code="refuse:spent", reason=reason)
    return SignalDecision(act="retrain", code="retrain", reason=seen)


def blockers(signals: Sequence[SignalView], state: RetrainingState, spec: ModelSpec, now: datetime) -> dict[str, str]:
    """Everything that speaks against a training now, by the rule's name; empty when nothing does."""
    found: dict[str, str] = {}
    if spec.retraining.mode == "off":
        found["mode_off"] = "retraining.mode is off"
    if frozen := sorted(signal.cause for signal in signals if signal.kind in FREEZING):
        found["frozen"] = f"training is frozen by {', '.join(frozen)}"
    if state.open_request:
        found["open_request"] = state.open_request
    if state.open_rollout:
        found["open_rollout"] = state.open_rollout
    if (until := cooldown_until(state, spec)) is not None and now < until:
        after = f" after {state.fruitless} fruitless" if state.fruitless else ""
        found["cooldown"] = f"cooldown until {until:%Y-%m-%d %H:%M} UTC{after}"
    budget = spec.retraining.budget_per_month
    if state.trainings_this_month >= budget:
        found["budget"] = f"{state.trainings_this_month} trainings this month spend the budget of {budget}"
    return found


def cooldown_until(state: RetrainingState, spec: ModelSpec) -> datetime | None:
    """Last request + cooldown x 2^fruitless (at most 2^5); None before the first request."""
    if state.last_request_at is None:
        return None
    doubled: int = 2 ** min(state.fruitless, _LARGEST_DOUBLING)
    return state.last_request_at + spec.retraining.cooldown * doubled


def _why_suggest(state: RetrainingState, spec: ModelSpec) -> str | None:
    """Why a training is only proposed to a person: the mode says so, or two in a row came to nothing; None otherwise."""
    if spec.retraining.mode in ("suggest", "approve"):
        return f"retraining.mode is {spec.retraining.mode}"
    return f"{state.fruitless} trainings in a row promoted nothing" if state.fruitless >= SUGGEST_AFTER else None


def _without_training(signals: Sequence[SignalView], weighed: dict[int, SignalDecision]) -> Decision:
    if not signals:
        return Decision(act="none", reason="no open signal")
    order: tuple[Act, ...] = ("refuse", "wait", "alert")
    leading = min(weighed.values(), key=lambda decision: order.index(decision.act))
    return Decision(act=leading.act, reason=leading.reason, by_signal=weighed)


def evidence_of(state: RetrainingState, spec: ModelSpec, now: datetime) -> dict[str, Any]:
    """What a decision at event time `now` rests on: state, rules in force, and the effect at which a spent cause counts."""
    rules = spec.retraining
    return {
        "now": now.isoformat(),
        "state": state.model_dump(mode="json"),
        "rules": rules.model_dump(mode="json"),
        "spent_until": {cause: effect * RESPENT for cause, effect in state.spent.items()},
    }
