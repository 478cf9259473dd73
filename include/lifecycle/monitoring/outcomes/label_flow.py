"""Checks `labels:...`: whether outcomes come, and come sanely. Pure; performance is judged only on labels that pass.

Each label row is looked at as it came: known at an impossible time, contradicting another row of the same key, event time and
`known_at`, a mere repetition, or for a prediction that nobody made. A row with a newer `known_at` is a correction, no conflict.
Shares are judged by their one-sided Wilson bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.kinds import DECAY, LABELS
from include.lifecycle.monitoring.labels import Arrivals, Labelled
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.windows import Window, microseconds
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import wilson
from include.lifecycle.verdicts import Outcome, Verdict

COVERAGE = f"{LABELS}:coverage"
FEWEST_WINDOWS = 3


@dataclass(frozen=True)
class LabelFlow:
    """How many label rows of one window there are, and how many of them are what; of all versions together.

    `unknown` None: nobody looked.
    """

    rows: int
    skewed: int = 0
    conflicting: int = 0
    repeated: int = 0
    unknown: int | None = 0

    def __add__(self, other: LabelFlow) -> LabelFlow:
        """Both together, of two slices of a window."""
        unknown = None if self.unknown is None or other.unknown is None else self.unknown + other.unknown
        skewed, conflicting = self.skewed + other.skewed, self.conflicting + other.conflicting
        return LabelFlow(self.rows + other.rows, skewed, conflicting, self.repeated + other.repeated, unknown)


def flow_of(arrivals: Arrivals, window: Window, asked: set[tuple[str, int]] | None) -> LabelFlow:
    """Count the label rows of one window; `asked`: (key, microseconds) of every prediction in it, None: not known."""
    inside = (arrivals.times >= microseconds(window.start)) & (arrivals.times < microseconds(window.end))
    pairs = zip(arrivals.keys[inside], arrivals.times[inside].tolist(), strict=True)
    unknown = None if asked is None else sum(pair not in asked for pair in pairs)
    skewed, conflicting, repeated = (
        int(flag[inside].sum()) for flag in (arrivals.skewed, arrivals.conflicting, arrivals.repeated)
    )
    return LabelFlow(int(inside.sum()), skewed, conflicting, repeated, unknown)


def check_labels(
    spec: ModelSpec, window: Predictions, labelled: Labelled, flow: LabelFlow | None, coverages: Sequence[float], now: datetime
) -> list[Verdict]:
    """Verdicts `labels:coverage`, and where label rows are known `labels:clock_skew`, `labels:conflicts`, `labels:unknown`.

    `coverages`: of the model's recent windows. A limit of 1 is off and gives no verdict.
    """
    found = [_coverage(spec, window, labelled, coverages, now)]
    if flow is None:
        return found
    wanted = spec.monitoring.labels
    shares = (
        ("clock_skew", flow.skewed, wanted.max_skewed, "are known before their event, or in the future"),
        ("conflicts", flow.conflicting, wanted.max_conflicting, "contradict another of the same key, time and known_at"),
        ("unknown", flow.unknown, wanted.max_unknown, "belong to no prediction"),
    )
    judged = ((name, count, limit, words) for name, count, limit, words in shares if limit < 1 and count is not None)
    return [*found, *(_share(spec, name, count, flow, limit, words) for name, count, limit, words in judged)]


def held_back(found: Sequence[Verdict], decay: Sequence[Verdict]) -> list[Verdict]:
    """Verdicts on performance, made inconclusive when too few labels came: those that did may be the odd ones."""
    lacking = next((verdict for verdict in found if verdict.check == COVERAGE and verdict.failed), None)
    if lacking is None:
        return list(decay)
    return [
        verdict.model_copy(update={"outcome": Outcome.INCONCLUSIVE, "reason": f"{lacking.reason}; {verdict.reason}"})
        if verdict.check.startswith(f"{DECAY}:")
        else verdict
        for verdict in decay
    ]


def _coverage(spec: ModelSpec, window: Predictions, labelled: Labelled, coverages: Sequence[float], now: datetime) -> Verdict:
    keyed, labels, wanted = keyed_rows(window.keys), int(labelled.labels.size), spec.monitoring.labels
    evidence: dict[str, Any] = {"rows": keyed, "measure": "coverage", "severity": "warn"}
    due = window.window.end + spec.labels.mature_after
    if now < due:
        return _unclear(COVERAGE, f"labels are due at {due:%Y-%m-%d %H:%M}", evidence)
    if not keyed:
        return _unclear(COVERAGE, "no prediction carries a key, so no label can belong to one", evidence)
    usual = median(coverages) if len(coverages) >= FEWEST_WINDOWS else None
    compared = 0.0 if usual is None else (1 - wanted.coverage_drop) * usual
    threshold = max(wanted.minimum_coverage, compared)
    found = wilson(min(labels, keyed), keyed, 2 * spec.evaluation.confidence - 1)
    evidence |= {"value": found.estimate, "coverage": found.estimate, "threshold": threshold}
    evidence |= {"effect": max(threshold - found.estimate, 0.0), "lower": max(threshold - found.upper, 0.0)}
    if threshold == 0:
        return _unclear(COVERAGE, f"{found.estimate:.1%} of {keyed} predictions have a label; no expectation is known", evidence)
    fails, passes = found.upper < threshold, found.estimate >= threshold
    outcome = Outcome.FAIL if fails else Outcome.PASS if passes else Outcome.INCONCLUSIVE
    reason = f"{found.estimate:.1%} of {keyed} predictions have a label, at least {threshold:.1%} are expected"
    return Verdict(check=COVERAGE, outcome=outcome, reason=reason, evidence=evidence)


def _share(spec: ModelSpec, name: str, count: int, flow: LabelFlow, limit: float, words: str) -> Verdict:
    check = f"{LABELS}:{name}"
    evidence: dict[str, Any] = {"rows": flow.rows, "count": count, "threshold": limit, "severity": "warn", "measure": name}
    if flow.rows < spec.monitoring.minimum_labels:
        wanted = spec.monitoring.minimum_labels
        return _unclear(check, f"{flow.rows} labels came; monitoring.minimum_labels asks for {wanted}", evidence)
    found = wilson(count, flow.rows, 2 * spec.evaluation.confidence - 1)
    evidence |= {"value": found.estimate, "effect": found.estimate, "lower": found.lower}
    outcome = Outcome.FAIL if found.lower > limit else Outcome.PASS if found.estimate <= limit else Outcome.INCONCLUSIVE
    reason = f"{count} of {flow.rows} labels {words}; {limit:.1%} may"
    return Verdict(check=check, outcome=outcome, reason=reason, evidence=evidence)


def keyed_rows(keys: NDArray[np.object_]) -> int:
    """How many predictions carry a key."""
    return sum(key is not None for key in keys)


def _unclear(check: str, reason: str, evidence: dict[str, Any]) -> Verdict:
    return Verdict(check=check, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence=evidence)
