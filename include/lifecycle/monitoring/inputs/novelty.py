"""What training never had, in one window: new categories, outliers, missing values; and a column that was encoded anew. Pure.

Each share fails only when its interval lies above what counts and above what hold-out windows show by themselves. Few new values
are drift of the column (or of its role); when nearly all are new, the feed writes another encoding: a data fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.columns import counts_of, numbers
from include.lifecycle.monitoring.inputs.reference import NoveltyReference
from include.lifecycle.monitoring.inputs.roles import drift_kind
from include.lifecycle.monitoring.kinds import DATA_FAULT
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.profile import CategoricalProfile, ColumnProfile, Profile
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import wilson
from include.lifecycle.verdicts import Outcome, Verdict

ASPECT = "novelty"
SHOWN = 5  # new categories that a verdict names


@dataclass(frozen=True)
class _Share:
    """Rows of one sort in a window, what training shows of them, and what the share's lower bound must exceed."""

    name: str
    words: str
    count: int
    expected: float
    allowed: float


def check_recoded(spec: ModelSpec, profile: Profile, window: Predictions) -> list[Verdict]:
    """One data-fault verdict per categorical column: nearly all of its values are new, so somebody renamed them."""
    verdicts = []
    for name, stored, reference in _columns(spec, profile, window):
        if not isinstance(stored, CategoricalProfile):
            continue
        new = _new(stored, window.features[name])
        bar = max(spec.monitoring.novelty.recoded, reference.strange_bar)
        share = _Share("recoded", "categories that training never saw: another encoding?", sum(new.values()), 0.0, bar)
        verdicts.append(_judge(spec, f"{DATA_FAULT}:{name}:recoded", [share], window.rows, "critical", _named(new)))
    return verdicts


def check_novelty(spec: ModelSpec, profile: Profile, window: Predictions, faulty: frozenset[str] = frozenset()) -> list[Verdict]:
    """One verdict per watched column, `<kind>:<column>:novelty`; columns in `faulty` are inconclusive.

    A profile from before this check gives one inconclusive verdict.
    """
    if profile.inputs is None:
        reason = "the version's profile is from before this check; the next version has what it needs"
        return [Verdict(check=ASPECT, outcome=Outcome.INCONCLUSIVE, reason=reason)]
    verdicts = []
    for name, stored, reference in _columns(spec, profile, window):
        check = f"{drift_kind(spec, name)}:{name}:{ASPECT}"
        if name in faulty:
            reason = f"{name} has a data fault in this window"
            verdicts.append(Verdict(check=check, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence={"rows": window.rows}))
            continue
        shares, told = _shares(spec, stored, reference, window.features[name])
        verdicts.append(_judge(spec, check, shares, window.rows, "warn", told))
    return verdicts


def _columns(spec: ModelSpec, profile: Profile, window: Predictions) -> Iterator[tuple[str, ColumnProfile, NoveltyReference]]:
    known = profile.inputs.novelty if profile.inputs else {}
    stored: dict[str, ColumnProfile] = {**profile.numeric, **profile.categorical}
    for name, reference in known.items():
        if name in spec.watched and name in window.features and name in stored:
            yield name, stored[name], reference


def _shares(
    spec: ModelSpec, stored: ColumnProfile, reference: NoveltyReference, values: NDArray[Any]
) -> tuple[list[_Share], dict[str, Any]]:
    rules = spec.monitoring.novelty
    told: dict[str, Any] = {}
    if isinstance(stored, CategoricalProfile):
        new = _new(stored, values)
        count, allowed = sum(new.values()), max(rules.new_categories, reference.strange_bar)
        strange = _Share("new_categories", "categories that training never saw", count, 0.0, allowed)
        told = _named(new)
        missing = sum(value is None for value in values)
    else:
        found = numbers(values)
        low, high = (-np.inf, np.inf) if reference.low is None or reference.high is None else (reference.low, reference.high)
        expected = 2 * rules.outlier_quantile
        allowed = max(expected + rules.outliers, reference.strange_bar)
        below, above = int((found < low).sum()), int((found > high).sum())
        words = f"values outside {low:.4g} to {high:.4g}"
        strange = _Share("outliers", words, below + above, expected, allowed)
        told = {"low": reference.low, "high": reference.high, "below": below, "above": above}
        missing = int(np.isnan(found).sum())
    empty = max(stored.null_share, reference.missing)
    bar = max(empty + rules.missing, reference.missing_bar)
    return [strange, _Share("missing", "missing values", missing, stored.null_share, bar)], told


def _new(stored: CategoricalProfile, values: NDArray[Any]) -> dict[str, int]:
    return {name: count for name, count in counts_of(values).items() if name not in stored.counts}


def _named(new: dict[str, int]) -> dict[str, Any]:
    most = sorted(new, key=lambda name: (-new[name], name))[:SHOWN]
    return {"new": {name: new[name] for name in most}} if new else {}


def _judge(spec: ModelSpec, check: str, shares: list[_Share], rows: int, severity: str, told: dict[str, Any]) -> Verdict:
    """Fail by the share whose lower bound is furthest above what is allowed of it."""
    needed = spec.monitoring.minimum_rows
    if rows < needed:
        reason = f"{rows} rows; monitoring.minimum_rows asks for {needed}"
        return Verdict(check=check, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence={"rows": rows})
    bounds = {share.name: wilson(share.count, rows, spec.monitoring.novelty.confidence) for share in shares}
    worst = max(shares, key=lambda share: bounds[share.name].lower - share.allowed)
    interval, fails = bounds[worst.name], bounds[worst.name].lower > worst.allowed
    evidence: dict[str, Any] = {"rows": rows} | {share.name: round(share.count / rows, 6) for share in shares}
    if not fails:
        listed = ", ".join(f"{share.count / rows:.2%} {share.words}" for share in shares)
        return Verdict(check=check, outcome=Outcome.PASS, reason=listed, evidence=evidence)
    evidence |= {
        "aspect": worst.name,
        "effect": interval.estimate - worst.expected,
        "lower": interval.lower,
        "upper": interval.upper,
        "threshold": worst.allowed,
        "severity": severity,
        "reference": "training",
    }
    evidence |= {"fault": "recoded"} if severity == "critical" else {}
    reason = (
        f"{interval.estimate:.2%} {worst.words} (at least {interval.lower:.2%}); {worst.expected:.2%} in training, "
        f"allowed {worst.allowed:.2%}"
    )
    return Verdict(check=check, outcome=Outcome.FAIL, reason=reason, evidence=evidence | told)
