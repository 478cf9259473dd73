"""Fairness gates: by how much selection, opportunity and precision differ between groups, with intervals over blocks.

A gap fails only when its interval lies above the limit; groups too small to tell are named, never counted as fair.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from include.lifecycle.evaluation.metrics import acted_upon
from include.lifecycle.evaluation.sample import Sample
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import MINIMUM_BLOCKS, Floats, block_sums
from include.lifecycle.verdicts import Outcome, Verdict

if TYPE_CHECKING:
    import pandas as pd

FAIRNESS = "fairness"
NULLS = "(none)"
Groups = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Measure:
    """A rate per group, the sum of `of` over the sum of `among` (both (n,)); `tests` measures share one false-alarm level."""

    name: str
    among: Floats
    of: Floats
    tests: int = 1


def measures_of(spec: ModelSpec, y: Floats, p: Floats) -> list[Measure]:
    """What must agree between groups.

    Classes (multiclass: each class against the rest): selection rates (demographic parity; Calders, Kamiran & Pechenizkiy 2009),
    true positive rates (equal opportunity; Hardt, Price & Srebro 2016), precisions (predictive parity; Chouldechova 2017).
    Regression: mean prediction and mean error, in standard deviations of the target.
    """
    everyone = np.ones(len(y))
    if spec.objective.task == "regression":
        scale = max(float(y.std()), 1e-12) if len(y) else 1.0
        found = {"prediction_parity": p / scale, "error_parity": (p - y) / scale}
        return [Measure(name, everyone, of) for name, of in found.items()]
    if spec.objective.task == "binary_classification":
        return _of_class(y, acted_upon(p, spec.objective.threshold).astype(np.float64), "", 1)
    chosen, classes = p.argmax(axis=1), spec.objective.classes
    return [
        measure
        for number, name in enumerate(classes)
        for measure in _of_class(
            (y == number).astype(np.float64), (chosen == number).astype(np.float64), f":{name}", len(classes)
        )
    ]


def _of_class(positive: Floats, selected: Floats, suffix: str, tests: int) -> list[Measure]:
    return [
        Measure(f"demographic_parity{suffix}", np.ones(len(positive)), selected, tests),
        Measure(f"equal_opportunity{suffix}", positive, selected * positive, tests),
        Measure(f"predictive_parity{suffix}", selected, selected * positive, tests),
    ]


@dataclass(frozen=True)
class Rates:
    """Per group: rows that the rate rests on (g,), in how many blocks they lie (g,), rate (g,), and resampled rates (r, g)."""

    names: list[str]
    support: Floats
    blocks: Floats
    rate: Floats
    resampled: Floats


def fairness_gates(spec: ModelSpec, frame: pd.DataFrame, sample: Sample, p: Floats) -> list[Verdict]:
    """One verdict per attribute (or intersection) and measure, for predictions p of `frame`; none when none is declared."""
    fairness = spec.evaluation.fairness
    verdicts = []
    for names in [*([name] for name in fairness.attributes), *fairness.intersections]:
        groups = group_labels(frame, names, fairness.bins)
        for measure in measures_of(spec, sample.y, p):
            rates = group_rates(measure, groups, sample)
            verdicts.append(_judge(f"{FAIRNESS}:{'*'.join(names)}:{measure.name}", rates, spec, sample, measure.tests))
    return verdicts


def group_labels(frame: pd.DataFrame, names: list[str], bins: int) -> Groups:
    """The group of each row (n,): the attribute's value, or all values joined; nulls are a group of their own.

    A numeric attribute with more than `bins` distinct values is cut at its quantiles.
    """
    parts = [_labels(frame[name], bins) for name in names]
    if len(parts) == 1:
        return parts[0]
    return np.array([" and ".join(values) for values in zip(*parts, strict=True)], dtype=object)


def _labels(values: pd.Series, bins: int) -> Groups:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values) and values.nunique() > bins:
        cut = pd.qcut(values, bins, duplicates="drop", precision=3).astype(object)
        return np.asarray(cut.where(values.notna(), NULLS).astype(str).to_numpy())
    return np.asarray(values.astype(object).where(values.notna(), NULLS).astype(str).to_numpy())


def group_rates(measure: Measure, groups: Groups, sample: Sample) -> Rates:
    """The measure's rate in each group of `groups` (n,), from sums per block, so that resampling copies no row."""
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    member = np.eye(len(names))[group]
    below, above = (block_sums(member * part[:, None], sample.codes, sample.blocks) for part in (measure.among, measure.of))
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


def _judge(check: str, rates: Rates, spec: ModelSpec, sample: Sample, tests: int) -> Verdict:
    limit, minimum = spec.evaluation.fairness.max_gap, spec.evaluation.fairness.minimum_group
    # a group of few blocks hardly changes when blocks are resampled: its interval would be too short to be believed
    tellable = (rates.support >= minimum) & (rates.blocks >= MINIMUM_BLOCKS)
    small = [name for name, enough in zip(rates.names, tellable, strict=True) if not enough]
    large = [index for index, name in enumerate(rates.names) if name not in small]
    evidence: dict[str, Any] = {
        "max_gap": limit,
        "minimum_group": minimum,
        "rates": {rates.names[index]: round(float(rates.rate[index]), 6) for index in large},
        "too_small": small,
        **sample.evidence(),
    }
    if sample.shortage or len(large) < 2:
        lacking = f"fewer than two groups have {minimum} rows to count, in {MINIMUM_BLOCKS} blocks"
        reason = f"too few to tell: {sample.shortage or lacking}"
        return Verdict(check=check, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence=evidence)
    gaps = _gaps(rates, large, sample, tests)
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


def _gaps(rates: Rates, large: list[int], sample: Sample, tests: int) -> list[dict[str, Any]]:
    """Absolute gap of each pair of groups, with a bootstrap-t interval at a level shared by all pairs and tests (Bonferroni).

    A signed difference is resampled: an absolute one is never near zero under noise and would look unfair by chance.
    """
    from scipy.special import stdtrit

    pairs = list(combinations(large, 2))
    student = float(stdtrit(sample.blocks - 1, 1 - (1 - sample.confidence) / (2 * len(pairs) * tests)))
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
