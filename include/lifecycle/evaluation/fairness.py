"""Fairness gates: by how much selection, opportunity and precision differ between groups, with intervals over blocks.

A gap fails only when its interval lies above the limit; groups too small to tell are named, never counted as fair.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.evaluation.metrics import acted_upon
from include.lifecycle.evaluation.sample import Sample
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import MINIMUM_BLOCKS, Floats, block_sums
from include.lifecycle.verdicts import Outcome, Verdict

if TYPE_CHECKING:
    import pandas as pd

Selected = NDArray[np.bool_]
MINIMUM_GROUP = 30  # rows that a group's rate must rest on, in MINIMUM_BLOCKS blocks; fewer are named as too small


@dataclass(frozen=True)
class Measure:
    """A rate per group: `of` and `among` say which rows are counted, by act (n,) and label y (n,)."""

    name: str
    among: str  # "all", "positive" (label 1) or "selected" (acted upon)
    of: str  # "selected" or "positive"


MEASURES = (
    # Selection rates agree (Calders, Kamiran & Pechenizkiy 2009).
    Measure("demographic_parity", "all", "selected"),
    # True positive rates agree (Hardt, Price & Srebro 2016).
    Measure("equal_opportunity", "positive", "selected"),
    # Precisions agree (Chouldechova 2017).
    Measure("predictive_parity", "selected", "positive"),
)


@dataclass(frozen=True)
class Rates:
    """Per group: rows that the rate rests on (g,), in how many blocks they lie (g,), rate (g,), and resampled rates (r, g)."""

    names: list[str]
    support: Floats
    blocks: Floats
    rate: Floats
    resampled: Floats


def fairness_gates(spec: ModelSpec, frame: pd.DataFrame, sample: Sample, p: Floats) -> list[Verdict]:
    """One verdict per declared attribute and measure, for predictions p (n,) of `frame`; none when no attribute is declared."""
    limit, threshold = spec.evaluation.fairness.max_gap, spec.objective.threshold
    verdicts = []
    for attribute in spec.evaluation.fairness.attributes:
        groups = frame[attribute].astype(object).where(frame[attribute].notna(), "(none)").astype(str).to_numpy()
        for measure in MEASURES:
            rates = group_rates(measure, groups, sample, acted_upon(p, threshold))
            verdicts.append(_judge(f"fairness:{attribute}:{measure.name}", rates, limit, sample))
    return verdicts


def group_rates(measure: Measure, groups: Sequence[str] | np.ndarray[Any, Any], sample: Sample, selected: Selected) -> Rates:
    """The measure's rate in each group of `groups` (n,), from sums per block, so that resampling copies no row.

    `selected` (n,) says which rows are acted upon.
    """
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    chosen = {"all": np.ones(sample.rows), "positive": sample.y, "selected": selected.astype(np.float64)}
    member = np.eye(len(names))[group]
    among = member * chosen[measure.among][:, None]
    of = among * chosen[measure.of][:, None]
    below, above = (block_sums(part, sample.codes, sample.blocks) for part in (among, of))
    return Rates(
        [str(name) for name in names],
        below.sum(axis=0),
        (below > 0).sum(axis=0).astype(np.float64),
        _divide(above.sum(axis=0), below.sum(axis=0)),
        _divide(sample.weights @ above, sample.weights @ below),
    )


def _divide(above: Floats, below: Floats) -> Floats:
    result: Floats = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    return result


def _judge(check: str, rates: Rates, limit: float, sample: Sample) -> Verdict:
    # a group of few blocks hardly changes when blocks are resampled: its interval would be too short to be believed
    tellable = (rates.support >= MINIMUM_GROUP) & (rates.blocks >= MINIMUM_BLOCKS)
    small = [name for name, enough in zip(rates.names, tellable, strict=True) if not enough]
    large = [index for index, name in enumerate(rates.names) if name not in small]
    evidence: dict[str, Any] = {
        "max_gap": limit,
        "rates": {rates.names[index]: round(float(rates.rate[index]), 6) for index in large},
        "too_small": small,
        **sample.evidence(),
    }
    if sample.shortage or len(large) < 2:
        lacking = f"fewer than two groups have {MINIMUM_GROUP} rows to count, in {MINIMUM_BLOCKS} blocks"
        reason = f"too few to tell: {sample.shortage or lacking}"
        return Verdict(check=check, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence=evidence)
    gaps = _gaps(rates, large, sample)
    widest = max(gaps, key=lambda gap: gap["gap"])
    outcome = _outcome(gaps, limit, bool(small))
    evidence["widest"] = widest
    word = {Outcome.PASS: "is within", Outcome.FAIL: "is above", Outcome.INCONCLUSIVE: "is not clearly within"}[outcome]
    between = " and ".join(widest["groups"])
    reason = f"widest gap {widest['gap']:.3f} [{widest['lower']:.3f}, {widest['upper']:.3f}] between {between} {word} {limit:g}"
    return Verdict(
        check=check,
        outcome=outcome,
        reason=reason + (f"; too small to tell: {', '.join(small)}" if small else ""),
        evidence=evidence,
    )


def _gaps(rates: Rates, large: list[int], sample: Sample) -> list[dict[str, Any]]:
    """Absolute gap of each pair of groups, with a bootstrap-t interval at a level shared by all pairs (Bonferroni).

    A signed difference is resampled: an absolute one is never near zero under noise and would look unfair by chance.
    """
    from scipy.special import stdtrit

    pairs = list(combinations(large, 2))
    student = float(stdtrit(sample.blocks - 1, 1 - (1 - sample.confidence) / (2 * len(pairs))))
    widen = student * math.sqrt(sample.blocks / (sample.blocks - 1))
    gaps = []
    for first, second in pairs:
        gap = abs(float(rates.rate[first] - rates.rate[second]))
        half = widen * float(np.nanstd(rates.resampled[:, first] - rates.resampled[:, second]))
        groups = [rates.names[first], rates.names[second]]
        gaps.append(
            {"groups": groups, "gap": round(gap, 6), "lower": round(max(0.0, gap - half), 6), "upper": round(gap + half, 6)}
        )
    return gaps


def _outcome(gaps: list[dict[str, Any]], limit: float, some_small: bool) -> Outcome:
    if any(gap["lower"] > limit for gap in gaps):
        return Outcome.FAIL
    return Outcome.INCONCLUSIVE if some_small or any(gap["upper"] > limit for gap in gaps) else Outcome.PASS
