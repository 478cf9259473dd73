"""What one signal asks for by itself: by its kind and severity, whether it is confirmed, and how it was answered before. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from include.lifecycle.decisions.vocabulary import (
    BY_POLICY,
    FACTS,
    FREEZING,
    MOVED_INPUTS,
    SPENDABLE_FACTS,
    SUPPORTING,
    WARNING,
    RetrainingState,
    SignalDecision,
    SignalView,
)
from include.lifecycle.monitoring.kinds import ESTIMATED_DECAY
from include.lifecycle.spec import ModelSpec
from include.lifecycle.units import format_duration


def weigh(
    signal: SignalView, state: RetrainingState, spec: ModelSpec, *, beside: Sequence[SignalView] = (), force: bool = False
) -> SignalDecision:
    """What this signal alone asks for: retrain, alert, wait (not confirmed yet) or refuse (spent, or declined by a person).

    `beside`: all open signals; an estimated decay asks only where inputs moved as well. `force` skips confirmation and earlier
    answers; what never asks for a training does not do so by force either.
    """
    silent = _never_asks(signal, state) or _only_supports(signal, spec, beside, force=force)
    if silent is not None:
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
    if signal.kind in WARNING:
        return _alert(signal.kind, f"{signal.kind} is for people to look at; it asks for no training")
    if signal.severity == "warn" and signal.kind not in (set(SUPPORTING) - {ESTIMATED_DECAY}):
        return _alert("warn", f"{signal.cause} is below the bar that retrains")
    return None


def _only_supports(signal: SignalView, spec: ModelSpec, beside: Sequence[SignalView], *, force: bool) -> SignalDecision | None:
    """Why drift, or an estimate, asks for nothing by itself; None where it does."""
    if signal.kind == ESTIMATED_DECAY:
        return _lacks_drift(signal, spec, beside, force=force)
    if signal.kind not in SUPPORTING:
        return None
    if signal.kind not in BY_POLICY or getattr(spec.retraining, signal.kind) == "support":
        return _alert("no_decay", f"{signal.kind} alone retrains only if performance fails too, measured or estimated")
    bar = spec.monitoring.drift.act_effect
    if signal.lower is not None and signal.lower > bar:
        return None
    known = "no bound is known" if signal.lower is None else f"at least {signal.lower:.3g}"
    return _alert("small", f"{signal.cause} is {signal.effect:.3g}, {known}; monitoring.drift.act_effect is {bar:g}")


def _lacks_drift(signal: SignalView, spec: ModelSpec, beside: Sequence[SignalView], *, force: bool) -> SignalDecision | None:
    """An estimated decay rests on the model's own probabilities: it is believed where inputs moved, confirmed as well."""
    moved = [other for other in beside if other.kind in MOVED_INPUTS and other.version == signal.version]
    if not moved:
        return _alert("no_drift", "an estimated decay retrains only if inputs moved too")
    if force or any(_confirmed(other, spec) for other in moved):
        return None
    causes = ", ".join(sorted(other.cause for other in moved))
    return SignalDecision(act="wait", code="wait:confirm_drift", reason=f"{causes}: not confirmed yet")


def _alert(rule: str, reason: str) -> SignalDecision:
    return SignalDecision(act="alert", code=f"alert:{rule}", reason=reason)


def _measured(signal: SignalView, state: RetrainingState, spec: ModelSpec) -> SignalDecision:
    """A measurement is acted upon once: confirmed by enough windows, and not answered before at nearly this effect."""
    confirm = spec.retraining.confirm
    seen = f"failed in {signal.windows_failed} of the last {confirm.of} windows over {format_duration(signal.spanning)}"
    if not _confirmed(signal, spec):
        wanted = f"{confirm.windows} over {format_duration(confirm.spanning)} are asked for"
        return SignalDecision(act="wait", code="wait:confirm", reason=f"{seen}; {wanted}")
    return _answered(signal, state, spec, spendable=True) or SignalDecision(act="retrain", code="retrain", reason=seen)


def _confirmed(signal: SignalView, spec: ModelSpec) -> bool:
    confirm = spec.retraining.confirm
    return signal.windows_failed >= confirm.windows and signal.spanning >= confirm.spanning


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
