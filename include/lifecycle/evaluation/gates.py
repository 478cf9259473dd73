"""Gates on the hold-out: floors, trivial baseline, champion and anchor. Each is a Verdict with its interval and its rows.

An interval on the right side of its limit passes, on the wrong side fails, across it is inconclusive; so are too few rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from include.lifecycle.evaluation.judging import HOLDS, mirrored, too_few
from include.lifecycle.evaluation.metrics import Metric
from include.lifecycle.evaluation.sample import Sample
from include.lifecycle.statistics.intervals import Floats, Interval, plain_number
from include.lifecycle.verdicts import Outcome, Verdict

FLOOR, BASELINE, CHAMPION, ANCHOR = "floor", "baseline", "champion", "anchor"


def beyond(interval: Interval, limit: float, *, strictly: bool = False) -> Outcome:
    """Where an interval lies against a limit from which on it is good: at or above (with `strictly`: above) it passes."""
    if not interval.known:
        return Outcome.INCONCLUSIVE
    if interval.lower > limit or (not strictly and interval.lower >= limit):
        return Outcome.PASS
    if interval.upper < limit or (strictly and interval.upper <= limit):
        return Outcome.FAIL
    return Outcome.INCONCLUSIVE


def floor_gate(metric: Metric, floor: float, sample: Sample, p: Floats, *, check: str = FLOOR) -> Verdict:
    """A metric of p against its floor: a least value, or a greatest one where lower is better."""
    value = sample.value(metric, p)
    evidence = {"metric": metric.name, "floor": floor, **value.evidence(), **sample.evidence()}
    if sample.shortage:
        return too_few(check, sample.shortage, evidence)
    outcome = beyond(value if metric.greater_is_better else mirrored(value), floor if metric.greater_is_better else -floor)
    reason = f"{metric.name} {_with_bounds(value)} {HOLDS[outcome]} the floor {floor:g}"
    return Verdict(check=check, outcome=outcome, reason=reason, evidence=evidence)


def baseline_gate(metric: Metric, sample: Sample, p: Floats, trivial: Floats) -> Verdict:
    """p must be better than a model that learnt nothing but the training labels' mean or shares (`trivial_predictions`)."""
    gain = sample.gain(metric, p, trivial)
    scores = {"model": metric.score(sample.y, p), "baseline": metric.score(sample.y, trivial)}
    prior = [round(float(one), 6) for one in np.atleast_1d(trivial[0])] if len(trivial) else []
    evidence = {"metric": metric.name, "prior": prior, **_plain(scores), "gain": gain.evidence(), **sample.evidence()}
    if sample.shortage:
        return too_few(BASELINE, sample.shortage, evidence)
    outcome = beyond(gain, 0.0, strictly=True)
    word = {Outcome.PASS: "beats", Outcome.FAIL: "does not beat", Outcome.INCONCLUSIVE: "is not clearly better than"}[outcome]
    reason = f"{metric.name} {scores['model']:.4f} {word} a model that learnt nothing ({scores['baseline']:.4f})"
    return Verdict(check=BASELINE, outcome=outcome, reason=reason, evidence=evidence)


def comparison_gate(
    metric: Metric,
    sample: Sample,
    new: Floats,
    old: Floats,
    *,
    margin: float | None,
    why: str,
    champion: int,
    role: str = CHAMPION,
) -> Verdict:
    """Challenger `new` against champion (or anchor) `old` on the same rows: not worse by `margin`, or better (margin None)."""
    gain = sample.gain(metric, new, old)
    scores = {"challenger": metric.score(sample.y, new), role: metric.score(sample.y, old)}
    demand = "better" if margin is None else f"not worse by {margin:g}"
    evidence: dict[str, Any] = {
        "metric": metric.name,
        "demand": demand,
        "why": why,
        f"{role}_version": champion,
        **_plain(scores),
    }
    evidence |= {"gain": gain.evidence(), **sample.evidence()}
    check = f"{role}:{'better' if margin is None else 'not_worse'}:{metric.name}"
    if sample.shortage:
        return too_few(check, sample.shortage, evidence)
    outcome = beyond(gain, 0.0, strictly=True) if margin is None else beyond(gain, -margin)
    word = {Outcome.PASS: "is", Outcome.FAIL: "is not", Outcome.INCONCLUSIVE: "is not clearly"}[outcome]
    reason = f"gain in {metric.name} over version {champion} {_with_bounds(gain)}: {word} {demand} ({why})"
    return Verdict(check=check, outcome=outcome, reason=reason, evidence=evidence)


def no_champion() -> Verdict:
    """The champion gate of a first version."""
    return Verdict(
        check=CHAMPION,
        outcome=Outcome.PASS,
        reason="no champion yet: nothing to be worse than",
        evidence={"champion_version": None},
    )


def _plain(scores: dict[str, float]) -> dict[str, float | None]:
    return {name: plain_number(value) for name, value in scores.items()}


def _with_bounds(interval: Interval) -> str:
    return f"{interval.estimate:.4f} [{interval.lower:.4f}, {interval.upper:.4f}]"
