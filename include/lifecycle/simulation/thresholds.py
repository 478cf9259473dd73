"""Other thresholds over verdicts that were stored: which keys can be tried so, and how a stored verdict reads by them. Pure.

A verdict keeps what it measured (effect, null threshold, interval), so a bar can be moved; a method, a window or a null cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.monitoring.calibration import CALIBRATION
from include.lifecycle.monitoring.kinds import ACCESS, ATTRIBUTION_DRIFT, BIAS, CREEP, DECAY, LABELS, SKEW, TRAFFIC
from include.lifecycle.monitoring.outcomes.label_flow import COVERAGE
from include.lifecycle.monitoring.performance import rung_of
from include.lifecycle.monitoring.security.rates import BURST
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Outcome, Verdict

MOVABLE: Final = (
    "monitoring.drift.minimum_effect",
    "monitoring.drift.act_effect",
    "monitoring.creep.minimum_effect",
    "monitoring.skew.minimum_effect",
    "monitoring.attribution.minimum_ndcg",
    "monitoring.multivariate.maximum_auc",
    "monitoring.performance.notice",
    "monitoring.performance.warn",
    "monitoring.performance.act",
    "monitoring.performance.concept",
    "monitoring.performance.rollback",
    "monitoring.performance.calibration_gap",
    "monitoring.minimum_rows",
    "monitoring.minimum_labels",
    "retraining.",
    "rollout.limits.performance_drop",
)
"""Keys that stored windows can answer for; one that ends in a dot stands for all below it, but for those in FIXED."""
RAISED_ONLY: Final = ("monitoring.minimum_rows", "monitoring.minimum_labels")
"""Keys that can only be raised: a window below the old bar was not measured."""
COUNTS_TRAFFIC: Final = (TRAFFIC, ACCESS, BURST, COVERAGE)
"""Kinds and checks without a smallest number of rows: how many there are is what they judge."""
FIXED: Final = {
    "monitoring.drift.false_alarms_per_quarter": "the nulls of stored windows were drawn for the old budget",
    "monitoring.drift.numeric": "stored windows were measured by the old method",
    "monitoring.drift.categorical": "stored windows were measured by the old method",
    "monitoring.window": "stored windows have the old length",
    "monitoring.reference": "stored windows were compared with the old reference",
    "monitoring.schedule": "stored windows were measured when the old schedule said so",
    "monitoring.report_rows": "it decides nothing",
    "retraining.approvers": "nobody answers in a replay",
    "retraining.answer_within": "nobody answers in a replay",
}
"""Why a key cannot be tried on stored windows; for any other the sentence is general."""


def changed_keys(before: ModelSpec, after: ModelSpec) -> dict[str, tuple[Any, Any]]:
    """Every key whose value differs, by its dotted name, with the old and the new value as plain JSON."""
    old, new = (dict(_flat(spec.model_dump(mode="json"))) for spec in (before, after))
    return {key: (old.get(key), new.get(key)) for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)}


def key_names(spec: ModelSpec) -> list[str]:
    """Every key of a model by its dotted name."""
    return [key for key, _ in _flat(spec.model_dump(mode="json"))]


def refuse_unreplayable(changes: dict[str, tuple[Any, Any]]) -> None:
    """Raise SpecInvalidError that names every changed key which stored windows cannot answer for, and why."""
    found = [f"{key}: {why}" for key, (old, new) in changes.items() if (why := _why_not(key, old, new))]
    if found:
        allowed = ", ".join(f"{name}*" if name.endswith(".") else name for name in MOVABLE)
        told = "; ".join(found)
        raise SpecInvalidError(f"stored windows cannot answer for {told}. Allowed: {allowed}. `simulate` replays the data itself")


def rejudge(verdict: Verdict, spec: ModelSpec) -> Verdict:
    """The stored verdict by the bars of `spec`; what was not measured stays inconclusive, what has no bar there as it was."""
    if verdict.outcome is not Outcome.INCONCLUSIVE and (why := _too_few(verdict, spec)) is not None:
        return verdict.model_copy(update={"outcome": Outcome.INCONCLUSIVE, "reason": why})
    judge = next((judge for holds, judge in _JUDGES if holds(verdict)), None)
    return verdict if judge is None else judge(verdict, spec)


def _why_not(key: str, old: Any, new: Any) -> str | None:
    if key in FIXED:
        return FIXED[key]
    if key in RAISED_ONLY and new < old:
        return f"{new} is below {old}: windows with fewer were not measured"
    if any(key == name or (name.endswith(".") and key.startswith(name)) for name in MOVABLE):
        return None
    return "it is no threshold that stored verdicts are judged by"


def _too_few(verdict: Verdict, spec: ModelSpec) -> str | None:
    """Why a verdict on so few rows is none by `spec`. Verdicts of outcomes count labels, all others predictions; those on traffic
    itself (COUNTS_TRAFFIC) are asked for on any number of rows, none above all."""
    rows, kind = verdict.evidence.get("rows"), verdict.check.partition(":")[0]
    if not {kind, verdict.check}.isdisjoint(COUNTS_TRAFFIC):
        return None
    name = "minimum_labels" if kind in (DECAY, LABELS, BIAS) else "minimum_rows"
    wanted = int(getattr(spec.monitoring, name))
    if not isinstance(rows, int) or rows >= wanted:
        return None
    return f"{rows} rows; monitoring.{name} asks for {wanted}"


def _distance(verdict: Verdict, spec: ModelSpec) -> Verdict:
    """A distance against the larger of effect and null, as monitoring/drift.py and its likes judge it."""
    told, bars, kind = verdict.evidence, spec.monitoring.drift, verdict.check.partition(":")[0]
    own = {CREEP: spec.monitoring.creep.minimum_effect, SKEW: spec.monitoring.skew.minimum_effect}
    own[ATTRIBUTION_DRIFT] = 1 - spec.monitoring.attribution.minimum_ndcg
    least = own.get(kind, bars.minimum_effect)
    threshold = max(least, told["null_threshold"])
    fails = told["effect"] > threshold
    fresh = {"minimum_effect": least, "threshold": threshold}
    fresh |= {"above_act_effect": told["effect"] > bars.act_effect} if "above_act_effect" in told else {}
    outcome = Outcome.FAIL if fails else Outcome.PASS
    return _judged(verdict, outcome, f"{told['effect']:.3f} {'above' if fails else 'within'} {threshold:.3f}", fresh)


def _multivariate(verdict: Verdict, spec: ModelSpec) -> Verdict:
    """An AUC against the larger of limit and null, its interval against the limit, as monitoring/inputs/multivariate.py does."""
    told, limit = verdict.evidence, spec.monitoring.multivariate.maximum_auc
    threshold = max(limit, told["null_threshold"])
    outcome = Outcome.PASS if told["auc"] <= threshold else Outcome.INCONCLUSIVE if told["lower"] <= limit else Outcome.FAIL
    return _judged(verdict, outcome, f"AUC {told['auc']:.3f}; threshold {threshold:.3f}", {"threshold": threshold})


def _ladder(verdict: Verdict, spec: ModelSpec) -> Verdict:
    """The lower bound of skill lost on the ladder, as monitoring/performance.py judges it."""
    bars, lower = spec.monitoring.performance, verdict.evidence["lower"]
    rung, severity = rung_of(lower, bars)
    reason = f"at least {lower:.1%} lost: {f'above {rung}' if rung else 'below the ladder'}"
    told = {"threshold": bars.notice, "severity": severity or "none", "rung": rung or "none"}
    within = Outcome.INCONCLUSIVE if verdict.evidence.get("estimated") else Outcome.PASS  # an estimate passes nothing
    return _judged(verdict, Outcome.FAIL if severity else within, reason, told)


def _calibration(verdict: Verdict, spec: ModelSpec) -> Verdict:
    """The gap's bound against the limit, and the gap against what hold-out windows show, as monitoring/calibration.py does."""
    limit, told = spec.monitoring.performance.calibration_gap, verdict.evidence
    fails = told["lower"] > limit and told["effect"] > told.get("usual", 0.0)
    reason = f"gap {told['effect']:.3f}, at least {told['lower']:.3f}; limit {limit:g}, usual {told.get('usual', 0.0):.3f}"
    return _judged(verdict, Outcome.FAIL if fails else Outcome.PASS, reason, {"threshold": limit})


def _judged(verdict: Verdict, outcome: Outcome, reason: str, evidence: dict[str, Any]) -> Verdict:
    if outcome is verdict.outcome:
        reason = verdict.reason
    return verdict.model_copy(update={"outcome": outcome, "reason": reason, "evidence": verdict.evidence | evidence})


def _has(verdict: Verdict, *names: str) -> bool:
    return all(isinstance(verdict.evidence.get(name), int | float) for name in names)


_Judge = tuple[Callable[[Verdict], bool], Callable[[Verdict, ModelSpec], Verdict]]
_JUDGES: Final[tuple[_Judge, ...]] = (
    (lambda verdict: _has(verdict, "auc", "lower", "null_threshold"), _multivariate),
    (lambda verdict: _has(verdict, "effect", "minimum_effect", "null_threshold"), _distance),
    (lambda verdict: verdict.check == CALIBRATION and _has(verdict, "lower"), _calibration),
    (lambda verdict: "rung" in verdict.evidence and _has(verdict, "lower"), _ladder),
)


def _flat(tree: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value
