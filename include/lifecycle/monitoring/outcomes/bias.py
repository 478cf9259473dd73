"""Bias of one window: the gaps between groups of evaluation.fairness in live traffic, by their limit and by their growth. Pure.

Demographic parity needs no labels and rests on all predictions, equal opportunity and predictive parity on mature labels. Rates
and their resampling are evaluation/fairness.py's, over blocks of time instead of days of the hold-out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.evaluation.fairness import Measure, Rates, group_rates, measures_of
from include.lifecycle.evaluation.sample import Sample
from include.lifecycle.monitoring.inputs.budget import level_of
from include.lifecycle.monitoring.kinds import BIAS
from include.lifecycle.monitoring.labels import Labelled
from include.lifecycle.monitoring.outcomes.groups import group_names
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.profile import Profile
from include.lifecycle.monitoring.reference_parts import GroupReference
from include.lifecycle.monitoring.skill import time_blocks
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import MINIMUM_BLOCKS, resample_weights
from include.lifecycle.verdicts import Outcome, Verdict

UNLABELLED = ("demographic_parity", "prediction_parity")
"""Measures that need no labels."""


def check_bias(spec: ModelSpec, profile: Profile, window: Predictions, labelled: Labelled) -> list[Verdict]:
    """One verdict `bias:<attribute>:<measure>` per attribute, intersection and measure; none when none is declared.

    It fails when a gap's whole interval lies above evaluation.fairness.max_gap (severity act), or its growth over the hold-out's
    gap above monitoring.bias.increase (severity warn); groups too small to tell are named.
    """
    fairness = spec.evaluation.fairness
    attributes = [*([name] for name in fairness.attributes), *fairness.intersections]
    verdicts: list[Verdict] = []
    for names in attributes:
        attribute = "*".join(names)
        if not window.rows:
            verdicts.append(Verdict(check=f"{BIAS}:{attribute}", outcome=Outcome.INCONCLUSIVE, reason="no predictions"))
            continue
        if missing := [name for name in names if name not in window.features and name not in labelled.groups]:
            reason = f"{', '.join(missing)} is no feature, and labels.query did not return it beside the labels"
            verdicts.append(Verdict(check=f"{BIAS}:{attribute}", outcome=Outcome.INCONCLUSIVE, reason=reason))
            continue
        verdicts += _of_attribute(spec, profile, names, window, labelled)
    return verdicts


def _of_attribute(spec: ModelSpec, profile: Profile, names: list[str], window: Predictions, labelled: Labelled) -> list[Verdict]:
    attribute = "*".join(names)
    known = {one.measure: one for one in profile.groups if one.attribute == attribute}
    edges = next((one.edges for one in known.values()), {})
    seen = _seen(names, window, labelled)
    groups = group_names(seen.columns, spec.evaluation.fairness.bins, edges)
    level = level_of(spec, "bias")
    verdicts = []
    for measure in measures_of(spec, np.zeros(len(seen.times)), seen.scores):
        if measure.name.partition(":")[0] in UNLABELLED:
            sample = _sample(spec, window, seen.times, np.zeros(len(seen.times)), level)
            verdicts.append(judge(spec, attribute, measure, groups, sample, known.get(measure.name)))
    for measure in measures_of(spec, labelled.labels, labelled.values):
        if measure.name.partition(":")[0] not in UNLABELLED:
            sample = _sample(spec, window, labelled.times, labelled.labels, level, minimum=spec.monitoring.minimum_labels)
            verdicts.append(judge(spec, attribute, measure, groups[seen.labelled], sample, known.get(measure.name)))
    return verdicts


@dataclass(frozen=True, eq=False)
class _Seen:
    """Predictions whose groups are known: their attributes, times and scores, and which of them have labels."""

    columns: dict[str, Any]
    times: NDArray[np.int64]
    scores: NDArray[np.float64]
    labelled: NDArray[np.int64]


def _seen(names: list[str], window: Predictions, labelled: Labelled) -> _Seen:
    """All predictions when every attribute is a feature; when one came with the labels, those that have a label."""
    if all(name in window.features for name in names):
        some = np.isfinite(window.scores.reshape(window.rows, -1)).all(axis=1)
        place = np.cumsum(some) - 1  # labelled rows have finite scores
        columns = {name: window.features[name][some] for name in names}
        return _Seen(columns, window.times[some], window.scores[some], place[labelled_rows(window, labelled)])
    rows = labelled_rows(window, labelled)
    columns = {name: window.features[name][rows] if name in window.features else labelled.groups[name] for name in names}
    return _Seen(columns, labelled.times, labelled.values, np.arange(len(rows)))


def labelled_rows(window: Predictions, labelled: Labelled) -> NDArray[np.int64]:
    """Places of the labelled predictions (m,) among the window's rows; both are in order of event time.

    Raises ValueError when `labelled` is no part of the window.
    """
    if labelled.places is not None:
        return labelled.places
    if labelled.labels.size == window.rows:
        return np.arange(window.rows)
    raise ValueError(f"{labelled.labels.size} labelled rows without their places among {window.rows} predictions")


def _sample(
    spec: ModelSpec, window: Predictions, times: NDArray[np.int64], y: NDArray[np.float64], level: float, minimum: int = 0
) -> Sample:
    start, length = window.window.start.timestamp(), window.window.length.total_seconds()
    codes = time_blocks(times / 1e6, start, length) if times.size else np.empty(0, dtype=np.intp)
    blocks = int(codes.max()) + 1 if codes.size else 1
    weights = resample_weights(blocks, spec.evaluation.resamples, spec.training.seed)
    least = minimum or spec.monitoring.minimum_rows
    return Sample(y, codes, weights, 1 - 2 * level, least, "day" if length >= 7 * 86_400 else "part of the window", "")


@dataclass(frozen=True)
class _Pair:
    """Two groups: gap with its interval, and growth over the hold-out's gap with its lower bound (None without a reference)."""

    groups: tuple[str, str]
    gap: float
    lower: float
    upper: float
    before: float | None
    growth_lower: float | None


def judge(
    spec: ModelSpec, attribute: str, measure: Measure, groups: NDArray[Any], sample: Sample, reference: GroupReference | None
) -> Verdict:
    """The verdict on one measure for `groups` (n,) of the sample's rows."""
    check, fairness, increase = f"{BIAS}:{attribute}:{measure.name}", spec.evaluation.fairness, spec.monitoring.bias.increase
    if sample.rows < sample.minimum_rows:
        reason = f"{sample.rows} rows to count; {sample.minimum_rows} are asked for"
        return Verdict(check=check, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence={"rows": sample.rows})
    rates = group_rates(measure, groups, sample)
    tellable = (rates.support >= fairness.minimum_group) & (rates.blocks >= MINIMUM_BLOCKS)
    small = [name for name, enough in zip(rates.names, tellable, strict=True) if not enough]
    evidence: dict[str, Any] = {
        "measure": measure.name,
        "attribute": attribute,
        "rates": {name: round(float(rates.rate[at]), 6) for at, name in enumerate(rates.names) if tellable[at]},
        "too_small": small,
        "rows": sample.rows,
        "threshold": fairness.max_gap,
        "rule": BIAS,
    }
    if tellable.sum() < 2:
        reason = f"fewer than two groups have {fairness.minimum_group} rows to count, in {MINIMUM_BLOCKS} parts of the window"
        return Verdict(check=check, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence=evidence)
    pairs = _pairs(rates, np.flatnonzero(tellable).tolist(), sample, reference)
    return _verdict(check, pairs, small, evidence, limit=fairness.max_gap, increase=increase)


def _pairs(rates: Rates, large: list[int], sample: Sample, reference: GroupReference | None) -> list[_Pair]:
    """Bootstrap-t intervals over blocks at a level shared by all pairs (Bonferroni), as in evaluation/fairness.py."""
    from scipy.special import stdtrit

    chosen = list(combinations(large, 2))
    student = -float(stdtrit(sample.blocks - 1, (1 - sample.confidence) / (2 * len(chosen))))
    widen = student * math.sqrt(sample.blocks / (sample.blocks - 1))
    found = []
    for first, second in chosen:
        names = rates.names[first], rates.names[second]
        gap = abs(float(rates.rate[first] - rates.rate[second]))
        error = float(np.nanstd(rates.resampled[:, first] - rates.resampled[:, second]))
        before = bound = None
        if reference is not None and all(name in reference.rates for name in names):
            before = abs(reference.rates[names[0]] - reference.rates[names[1]])
            bound = gap - before - widen * math.hypot(error, *(reference.errors[name] for name in names))
        found.append(_Pair(names, gap, max(0.0, gap - widen * error), gap + widen * error, before, bound))
    return found


def _verdict(
    check: str, pairs: Sequence[_Pair], small: list[str], evidence: dict[str, Any], *, limit: float, increase: float
) -> Verdict:
    widest = max(pairs, key=lambda pair: (pair.lower > limit, pair.gap))
    grown = max(
        (pair for pair in pairs if pair.growth_lower is not None), key=lambda pair: pair.growth_lower or 0.0, default=None
    )
    grows = grown is not None and (grown.growth_lower or 0.0) > increase
    above = widest.lower > limit
    told = widest if above or not grows or grown is None else grown
    evidence |= {
        "groups": list(told.groups),
        "effect": round(told.gap, 6),
        "lower": round(told.lower, 6),
        "upper": round(told.upper, 6),
        "reference_value": None if told.before is None else round(told.before, 6),
        "increase_limit": increase,
        "severity": "act" if above else "warn",
    }
    between = " and ".join(told.groups)
    words = f"gap {told.gap:.3f} [{told.lower:.3f}, {told.upper:.3f}] between {between}"
    named = f"; too small to tell: {', '.join(small)}" if small else ""
    if above:
        return Verdict(check=check, outcome=Outcome.FAIL, reason=f"{words} is above {limit:g}{named}", evidence=evidence)
    if grows:
        reason = f"{words} grew by more than {increase:g} from {told.before:.3f} in the hold-out{named}"
        return Verdict(check=check, outcome=Outcome.FAIL, reason=reason, evidence=evidence)
    if small or widest.upper > limit:
        reason = f"{words} is not clearly within {limit:g}{named}"
        return Verdict(check=check, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence=evidence)
    return Verdict(check=check, outcome=Outcome.PASS, reason=f"{words} is within {limit:g}", evidence=evidence)
