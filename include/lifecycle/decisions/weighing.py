"""What one signal asks for by itself: by its kind and severity, whether it is confirmed, and how it was answered before. Pure."""

from __future__ import annotations

from include.lifecycle.decisions.vocabulary import (
    FACTS,
    FREEZING,
    SPENDABLE_FACTS,
    SUPPORTING,
    WARNING,
    RetrainingState,
    SignalDecision,
    SignalView,
)
from include.lifecycle.spec import ModelSpec
from include.lifecycle.units import format_duration


def weigh(signal: SignalView, state: RetrainingState, spec: ModelSpec, *, force: bool = False) -> SignalDecision:
    """What this signal alone asks for: retrain, alert, wait (not confirmed yet) or refuse (spent, or declined by a person).

    `force` skips confirmation and earlier answers; what never asks for a training does not do so by force either.
    """
    if (silent := _never_asks(signal, state)) is not None:
        return silent
    if force:
        return SignalDecision(act="retrain", code="retrain", reason="a person forces it")
    if signal.kind in FACTS:
        answered = _answered(signal, state, spec, spendable=signal.kind in SPENDABLE_FACTS)
        return answered or SignalDecision(act="retrain", code="retrain", reason=f"{signal.kind} asks for a training")
    return _measured(signal, state, spec)


def _never_asks(signal: SignalView, state: RetrainingState) -> SignalDecision | None:
    if signal.kind in FREEZING:
        return _alert(signal.kind, f"{signal.cause} freezes training until it is resolved")
    if state.champion is not None and signal.version not in (None, state.champion):
        why = f"version {state.champion} took over from version {signal.version}; the signal will be resolved"
        return SignalDecision(act="wait", code="wait:other_version", reason=why)
    if signal.kind in SUPPORTING:
        return _alert("no_decay", f"{signal.kind} alone retrains only if performance fails too")
    if signal.kind in WARNING:
        return _alert(signal.kind, f"{signal.kind} is for people to look at; it asks for no training")
    if signal.severity == "warn":
        return _alert("warn", f"{signal.cause} is below the bar that retrains")
    return None


def _alert(rule: str, reason: str) -> SignalDecision:
    return SignalDecision(act="alert", code=f"alert:{rule}", reason=reason)


def _measured(signal: SignalView, state: RetrainingState, spec: ModelSpec) -> SignalDecision:
    """A decay is acted upon once: confirmed by enough windows, and not answered before at nearly this effect."""
    confirm = spec.retraining.confirm
    seen = f"failed in {signal.windows_failed} of the last {confirm.of} windows over {format_duration(signal.spanning)}"
    if signal.windows_failed < confirm.windows or signal.spanning < confirm.spanning:
        wanted = f"{confirm.windows} over {format_duration(confirm.spanning)} are asked for"
        return SignalDecision(act="wait", code="wait:confirm", reason=f"{seen}; {wanted}")
    return _answered(signal, state, spec, spendable=True) or SignalDecision(act="retrain", code="retrain", reason=seen)


def _answered(signal: SignalView, state: RetrainingState, spec: ModelSpec, *, spendable: bool) -> SignalDecision | None:
    """The refusal of a cause that was trained for, or that a person declined, while its effect has not grown enough since."""
    factor = spec.retraining.spent_until_grown
    told = (("spent", "trained for", state.spent if spendable else {}), ("declined", "declined by a person", state.declined))
    for rule, words, effects in told:
        before = effects.get(signal.cause)
        if before is not None and signal.effect < before * factor:
            reason = f"{rule}: {words} at effect {before:.3g}, now {signal.effect:.3g}, not {factor:g} times as much"
            return SignalDecision(act="refuse", code=f"refuse:{rule}", reason=reason)
    return None
