"""What all gates share: intervals of means and subsets on a sample, and the step from an interval and a limit to a Verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.evaluation.sample import Sample
from include.lifecycle.sections.gates import Act
from include.lifecycle.statistics.intervals import Codes, Floats, Interval, block_sums, resampled_interval
from include.lifecycle.verdicts import Outcome, Verdict

HOLDS = {Outcome.PASS: "holds", Outcome.FAIL: "misses", Outcome.INCONCLUSIVE: "is not clearly on one side of"}
_WORDS = {Outcome.PASS: "is within", Outcome.FAIL: "is beyond", Outcome.INCONCLUSIVE: "is not clearly within"}


def mean_interval(sample: Sample, values: Floats) -> Interval:
    """Interval of the mean of per-row values (n,) by the sample's own resamples; rows with NaN are left out."""
    known = np.isfinite(values)
    parts = np.column_stack([np.where(known, values, 0.0), known.astype(np.float64)])
    drawn = sample.weights @ block_sums(parts, sample.codes, sample.weights.shape[1])
    means = np.divide(drawn[:, 0], drawn[:, 1], out=np.full(len(drawn), np.nan), where=drawn[:, 1] > 0)
    estimate = float(values[known].mean()) if known.any() else float("nan")
    return resampled_interval(estimate, means, sample.blocks, sample.confidence)


def subset(sample: Sample, chosen: NDArray[np.bool_] | Codes, minimum_rows: int) -> Sample:
    """The chosen rows of a sample with the same resamples: blocks without a row fall away, differences stay paired."""
    codes = sample.codes[chosen]
    present, recoded = np.unique(codes, return_inverse=True)
    weights = sample.weights[:, present] if len(present) else sample.weights[:, :1]
    return replace(sample, y=sample.y[chosen], codes=recoded.astype(np.intp), weights=weights, minimum_rows=minimum_rows)


def mirrored(interval: Interval) -> Interval:
    """The interval of the negated value."""
    return Interval(estimate=-interval.estimate, lower=-interval.upper, upper=-interval.lower, confidence=interval.confidence)


def outcome_below(interval: Interval, limit: float) -> Outcome:
    """Pass when the whole interval is at or below the limit, fail when it lies above, else inconclusive."""
    if not interval.known:
        return Outcome.INCONCLUSIVE
    if interval.upper <= limit:
        return Outcome.PASS
    return Outcome.FAIL if interval.lower > limit else Outcome.INCONCLUSIVE


def limit_verdict(
    check: str, what: str, interval: Interval, limit: float, sample: Sample, act: Act, evidence: dict[str, Any] | None = None
) -> Verdict:
    """A value that must not be above `limit`, judged by its interval; too few rows or blocks are inconclusive."""
    told = {"limit": limit, "act": act, **interval.evidence(), **sample.evidence(), **(evidence or {})}
    if sample.shortage:
        return too_few(check, sample.shortage, told)
    outcome = outcome_below(interval, limit)
    return Verdict(check=check, outcome=outcome, reason=f"{what} {bounds(interval)} {_WORDS[outcome]} {limit:g}", evidence=told)


def too_few(check: str, shortage: str, evidence: dict[str, Any]) -> Verdict:
    """The verdict of a gate that has too little to rest on."""
    return Verdict(check=check, outcome=Outcome.INCONCLUSIVE, reason=f"too few to tell: {shortage}", evidence=evidence)


def bounds(interval: Interval) -> str:
    """An interval as people read it."""
    return f"{interval.estimate:.4g} [{interval.lower:.4g}, {interval.upper:.4g}]"


def warns_only(verdict: Verdict) -> bool:
    """Whether this verdict is told but stops nothing (`act: warn`)."""
    return verdict.evidence.get("act") == "warn"
