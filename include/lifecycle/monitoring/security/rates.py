"""Refused requests and bursts of one client, from the access log: an hour is compared with the hours before it.

Counts are compared on a logarithmic scale, on which honest traffic of day and night is about symmetric; the bar is what an hour
exceeds with the probability that the budget leaves (statistics/null.py), and never below a floor from the YAML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.kinds import ACCESS, SECURITY
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.security.access import MINUTE, AccessCounts, AccessReader
from include.lifecycle.sections.safety import SecuritySection
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.null import DrawnWindows, false_alarm_level, independent_windows, null_threshold
from include.lifecycle.verdicts import Outcome, Verdict

Counts = NDArray[np.int64]

DENIED, BURST = f"{ACCESS}:denied", f"{SECURITY}:burst"
HOUR = timedelta(hours=1)
_MINUTES = 60
FEWEST_HOURS = 24
"""Hours of history below which an hour is compared with the floor alone (refusals) or not at all (bursts)."""


@dataclass(frozen=True)
class _Hours:
    """The hours looked at, then the history before them, as minutes since 1970: [history, first) and [first, last)."""

    history: int
    first: int
    last: int


def check_rates(spec: ModelSpec, window: Predictions, reader: AccessReader | None) -> list[Verdict]:
    """Verdicts `access:denied` and `security:burst`; none where model servers write no access log."""
    rules, hours = spec.monitoring.security, _hours(spec, window)
    if reader is None or hours is None:
        return []
    since, until = (datetime.fromtimestamp(minute * MINUTE, UTC) for minute in (hours.history, hours.last))
    counts = reader.between(since, until)
    if not counts.minutes.size:
        return []
    clients = sorted({str(name) for name in counts.clients if name} - set(rules.trusted_clients))
    tests = 1 + len(clients)
    level = false_alarm_level(rules.false_alarms_per_quarter / 2, HOUR, tests)
    found = [_denied(counts, hours, rules, level)]
    return found if not clients else [*found, _bursts(counts, clients, hours, rules, level)]


def _hours(spec: ModelSpec, window: Predictions) -> _Hours | None:
    """Wall time of the window: its event time if its rows were logged then, else (replayed data) when they were logged."""
    told = np.empty(0) if window.logged is None else window.logged[window.logged > 0] / 1e6
    if not told.size:
        return None
    begun, ended = float(told.min()), float(told.max())
    start, end = window.window.start.timestamp(), window.window.end.timestamp()
    if begun < end and ended >= start:
        begun, ended = start, end
    first = int(begun) // MINUTE
    last = max(int(np.ceil(ended / MINUTE)), first + 1)
    past = int(spec.monitoring.security.history.total_seconds()) // MINUTE
    return _Hours(first - past, first, last)


def _denied(counts: AccessCounts, hours: _Hours, rules: SecuritySection, level: float) -> Verdict:
    refused = counts.denied
    before = _by_hour(counts.per_minute(refused, hours.history, hours.first), np.sum)
    before = _since_first(before, counts, hours)
    now = _by_hour(counts.per_minute(refused, hours.first, hours.last), np.sum)
    bar = _bar(before, level) if before.size >= FEWEST_HOURS else 0.0
    threshold, worst = max(float(rules.denied_per_hour), bar), int(now.max())
    inside = refused & (counts.minutes >= hours.first)
    whose: dict[str, int] = {}
    for client, requests in zip(counts.clients[inside], counts.requests[inside], strict=True):
        whose[str(client) or "(no known key)"] = whose.get(str(client) or "(no known key)", 0) + int(requests)
    evidence: dict[str, Any] = {
        "effect": float(worst),
        "threshold": threshold,
        "null_threshold": bar,
        "hours_before": int(before.size),
        "refused": int(now.sum()),
        "by_client": dict(sorted(whose.items(), key=lambda item: -item[1])[:10]),
        "severity": "warn",
        "rule": DENIED,
        "rows": int(counts.requests[counts.minutes >= hours.first].sum()),
    }
    told = f"{worst} requests without a good key in the worst hour, {int(now.sum())} in all; bar {threshold:.0f}"
    return Verdict(check=DENIED, outcome=Outcome.FAIL if worst > threshold else Outcome.PASS, reason=told, evidence=evidence)


def _bursts(counts: AccessCounts, clients: Sequence[str], hours: _Hours, rules: SecuritySection, level: float) -> Verdict:
    """Each client's busiest minute against its busiest minutes of the hours before; a new one against the busiest client."""
    peaks = {name: _peaks(counts, name, hours) for name in clients}
    bars = {name: max(rules.burst_per_minute, _bar(before, level)) for name, (before, _) in peaks.items() if _enough(before)}
    usual = max(bars.values(), default=None)
    judged = {name: (int(now.max()), bars.get(name, usual)) for name, (_, now) in peaks.items()}
    known = {name: (peak, float(bar)) for name, (peak, bar) in judged.items() if bar is not None}
    evidence: dict[str, Any] = {
        "rule": BURST,
        "severity": "warn",
        "clients": len(clients),
        "too_new": sorted(set(judged) - set(known)),
    }
    if not known:
        reason = f"no client has {FEWEST_HOURS} hours of traffic to compare with"
        return Verdict(check=BURST, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence=evidence)
    worst = max(known, key=lambda name: known[name][0] / known[name][1])
    peak, bar = known[worst]
    evidence |= {"client": worst, "effect": float(peak), "threshold": bar, "rows": int(counts.requests.sum())}
    told = f"client {worst}: {peak} requests in its busiest minute, bar {bar:.0f}"
    return Verdict(check=BURST, outcome=Outcome.FAIL if peak > bar else Outcome.PASS, reason=told, evidence=evidence)


def _peaks(counts: AccessCounts, client: str, hours: _Hours) -> tuple[Counts, Counts]:
    mine = counts.clients == client
    before = _by_hour(counts.per_minute(mine, hours.history, hours.first), np.max)
    active = np.flatnonzero(before)
    return before[active[0] :] if active.size else before[:0], _by_hour(counts.per_minute(mine, hours.first, hours.last), np.max)


def _enough(before: Counts) -> bool:
    return before.size >= FEWEST_HOURS


def _since_first(before: Counts, counts: AccessCounts, hours: _Hours) -> Counts:
    """Only hours since there is an access log."""
    begun = int(counts.minutes.min()) - hours.history
    return before[max(begun, 0) // _MINUTES :]


def _by_hour(minutes: Counts, fold: Any) -> Counts:
    """Fold each full or begun hour, counted from the end: (hours,)."""
    padded = np.concatenate([np.zeros(-minutes.size % _MINUTES, dtype=np.int64), minutes])
    return np.asarray(fold(padded.reshape(-1, _MINUTES), axis=1), dtype=np.int64)


def _bar(before: Counts, level: float) -> float:
    """What an hour like those before (h,) exceeds with probability `level`."""
    logs = np.log1p(before.astype(np.float64))
    hours = DrawnWindows([], list(range(logs.size)), float(logs.size), 1)
    return float(np.expm1(min(null_threshold(logs, level, independent_windows(logs, hours)), 40.0)))
