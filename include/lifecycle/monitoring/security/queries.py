"""Copying of the model and adversarial inputs, client by client: runs of queries against runs of honest traffic. Pure.

A statistic fails above its floor from the YAML and above what a run of hold-out rows shows with the probability that the budget
leaves, shared by all looks at all clients of the window (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.kinds import SECURITY
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.profile import Profile
from include.lifecycle.monitoring.reference_parts import PatternReference
from include.lifecycle.monitoring.security.patterns import (
    ADVERSARIAL,
    BOUNDARY,
    COVERAGE,
    EXTRACTION,
    FAR,
    NEAR,
    SWEEP,
    once_per_key,
    pattern_shares,
    queries_of,
)
from include.lifecycle.sections.safety import SecuritySection
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.null import false_alarm_level, null_threshold
from include.lifecycle.verdicts import Outcome, Verdict

Rows = NDArray[np.int64]
OTHERS = "(others)"
"""Requests without a client, and of clients with too few to look at alone, taken together."""
_WORDS = {
    SWEEP: "of its queries differ from others in one column only: a sweep",
    NEAR: "of its queries are near-duplicates of others",
    COVERAGE: "of the space is covered, more evenly than by honest traffic",
    FAR: "of its queries lie far outside all that training had",
    BOUNDARY: "of its queries hug the decision's boundary, close to one another",
}


@dataclass(frozen=True)
class _Look:
    """The highest value of one statistic among the looks at one client."""

    client: str
    statistic: str
    value: float
    threshold: float


def check_queries(spec: ModelSpec, profile: Profile, window: Predictions, faulty: frozenset[str]) -> list[Verdict]:
    """Verdicts `security:extraction` and `security:adversarial`. `faulty`: columns left out, a broken feed is no attack; nor are
    columns that honest traffic was described with and that are no longer read or watched."""
    rules, honest = spec.monitoring.security, profile.patterns
    if window.rows < spec.monitoring.minimum_rows:
        reason = f"{window.rows} rows; monitoring.minimum_rows asks for {spec.monitoring.minimum_rows}"
        return [_unclear(name, reason, window.rows) for name in ("extraction", "adversarial")]
    if honest is None or not honest.draws:
        reason = "the profile does not say what honest traffic looks like: it is older, or its hold-out has too few rows"
        return [_unclear(name, reason, window.rows) for name in ("extraction", "adversarial")]
    clients = _clients(window, rules, honest.rows)
    if not clients:
        reason = f"no client has {honest.rows} rows in this window"
        return [_unclear(name, reason, window.rows) for name in ("extraction", "adversarial")]
    lost = (profile.numeric.keys() | profile.categorical.keys()) - (window.features.keys() & set(spec.watched))
    broken = sorted(lost | {name.partition(":")[0] for name in faulty if not name.startswith("@")})
    comparable = [name for name in honest.draws if name == FAR or not broken]  # without a column honest rows look alike, too
    looks = max(1, rules.looks // len(clients))
    tests = len(clients) * looks * len(honest.draws)
    level = false_alarm_level(rules.false_alarms_per_quarter / 2, spec.monitoring.window, tests)
    thresholds = {name: _threshold(rules, honest, name, level) for name in comparable}
    queries = queries_of(spec, profile, window.features, window.scores, leave=frozenset(broken))
    found = []
    for client, rows in clients.items():
        shares = [pattern_shares(queries.take(part), rules.boundary_width) for part in _parts(rows, honest.rows, looks)]
        for name, threshold in thresholds.items():
            values = [share[name] for share in shares if np.isfinite(share[name])]
            if values:
                found.append(_Look(client, name, max(values), threshold))
    told = {"extraction": EXTRACTION, "adversarial": ADVERSARIAL}
    verdicts = []
    for name, statistics in told.items():
        mine = [look for look in found if look.statistic in statistics]
        verdicts.append(_verdict(name, mine, window.rows, len(clients)) if mine else _broken(name, broken, window.rows))
    return verdicts


def _clients(window: Predictions, rules: SecuritySection, rows: int) -> dict[str, Rows]:
    """Places of the rows of each client with enough of them, entities that are asked about again counted once."""
    names = window.clients if window.clients is not None else np.full(window.rows, None, dtype=object)
    found: dict[str, Rows] = {}
    rest = names == None  # noqa: E711 - element by element
    for name in sorted({str(name) for name in names if name is not None}):
        mine = np.flatnonzero(names == name)
        mine = mine[once_per_key(window.keys[mine])]
        if name in rules.trusted_clients:
            continue
        if mine.size >= rows:
            found[name] = mine
        else:
            rest |= names == name
    others = np.flatnonzero(rest)
    others = others[once_per_key(window.keys[others])] if others.size else others
    return found | ({OTHERS: others} if others.size >= rows else {})


def _parts(rows: Rows, size: int, looks: int) -> Sequence[Rows]:
    """At most `looks` runs of `size` neighbouring rows, evenly spread; the newest is one of them."""
    runs = rows.size // size
    offset = rows.size - runs * size
    chosen = np.unique(np.linspace(runs - 1, 0, min(runs, looks)).round().astype(np.int64))
    return [rows[offset + at * size : offset + (at + 1) * size] for at in chosen]


def _threshold(rules: SecuritySection, honest: PatternReference, name: str, level: float) -> float:
    draws = np.array(honest.draws[name])
    floors: Mapping[str, float] = {
        SWEEP: rules.sweep,
        NEAR: rules.near_duplicates,
        FAR: rules.far_outside,
        BOUNDARY: rules.boundary,
    }
    floor = rules.coverage * float(np.median(draws)) if name == COVERAGE else floors[name]
    return max(floor, null_threshold(draws, level, honest.windows[name]))


def _verdict(name: str, looks: Sequence[_Look], rows: int, clients: int) -> Verdict:
    check = f"{SECURITY}:{name}"
    usable = [look for look in looks if look.threshold < 1]
    if not usable:
        return _unclear(name, "honest traffic of this model looks alike by itself: no pattern could stand out", rows)
    worst = max(usable, key=lambda look: look.value / look.threshold)
    fails = worst.value > worst.threshold
    evidence: dict[str, Any] = {
        "client": worst.client,
        "measure": worst.statistic,
        "effect": worst.value,
        "threshold": worst.threshold,
        "severity": "act",
        "rule": f"{check}.{worst.statistic}",
        "rows": rows,
        "clients": clients,
        "not_told_apart": sorted({look.statistic for look in looks if look.threshold >= 1}),
    }
    told = f"client {worst.client}: {worst.value:.1%} {_WORDS[worst.statistic]}, bar {worst.threshold:.1%}"
    return Verdict(check=check, outcome=Outcome.FAIL if fails else Outcome.PASS, reason=told, evidence=evidence)


def _unclear(name: str, reason: str, rows: int) -> Verdict:
    return Verdict(check=f"{SECURITY}:{name}", outcome=Outcome.INCONCLUSIVE, reason=reason, evidence={"rows": rows})


def _broken(name: str, broken: Sequence[str], rows: int) -> Verdict:
    return _unclear(
        name,
        f"{', '.join(broken) or 'every column'} has a data fault, or is not read as in training: nothing to compare without it",
        rows,
    )
