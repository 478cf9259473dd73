"""Refused requests and bursts of one client, from the access log: an hour is compared with the hours before it.

Counts are compared on a logarithmic scale and with the same hour of earlier days, so that day and night are no bursts; the bar is
what an hour exceeds with the probability that the budget leaves (statistics/null.py), and never below a floor from the YAML.
"""

from __future__ import annotations

from collections import Counter
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
NOBODY = "(no known key)"
_MINUTES, _DAY = 60, 24
_FEWEST_DAYS = 3  # of history before an hour is compared with its own kind
_FAR = 6.0  # robust deviations from the usual beyond which an hour of history is no honest one
_FURTHEST = float(np.log(100.0))  # a bar is never above a hundred times the busiest honest hour
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
    if reader is None:
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


def _hours(spec: ModelSpec, window: Predictions) -> _Hours:
    """Wall time of the window: its event time if its rows were logged then, else (replayed data) when they were logged."""
    told = np.empty(0) if window.logged is None else window.logged[window.logged > 0] / 1e6
    start, end = window.window.start.timestamp(), window.window.end.timestamp()
    begun, ended = (float(told.min()), float(told.max())) if told.size else (start, end)
    if begun < end and ended >= start:
        begun, ended = start, end
    first = int(begun) // MINUTE
    last = max(int(np.ceil(ended / MINUTE)), first + 1)
    past = int(spec.monitoring.security.history.total_seconds()) // MINUTE
    return _Hours(first - past, first, last)


def _denied(counts: AccessCounts, hours: _Hours, rules: SecuritySection, level: float) -> Verdict:
    refused, inside = counts.denied, counts.minutes >= hours.first
    begun = max(int(counts.minutes.min()) - hours.history, 0) // _MINUTES
    before = _earlier(counts.per_minute(refused, hours.history, hours.first), np.sum)[begun:]
    now = _hourly(counts.per_minute(refused, hours.first, hours.last), np.sum)
    bars = hour_bars(before, now.size, level, float(rules.denied_per_hour))
    worst = int(np.argmax(now / bars))
    whose = Counter[str]()
    for client, requests in zip(counts.clients[refused & inside], counts.requests[refused & inside], strict=True):
        whose[str(client) or NOBODY] += int(requests)
    evidence: dict[str, Any] = {
        "effect": float(now[worst]),
        "threshold": float(bars[worst]),
        "hours_before": int(before.size),
        "refused": int(now.sum()),
        "by_client": dict(whose.most_common(10)),
        "severity": "warn",
        "rule": DENIED,
        "rows": int(counts.requests[inside].sum()),
    }
    told = f"{now[worst]} requests without a good key in the worst hour, {now.sum()} in all; bar {bars[worst]:.0f}"
    fails = now[worst] > bars[worst]
    return Verdict(check=DENIED, outcome=Outcome.FAIL if fails else Outcome.PASS, reason=told, evidence=evidence)


def _bursts(counts: AccessCounts, clients: Sequence[str], hours: _Hours, rules: SecuritySection, level: float) -> Verdict:
    """Each client's busiest minute against its busiest minutes of the hours before; a new one against the busiest client."""
    floor = float(rules.burst_per_minute)
    peaks = {name: _peaks(counts, name, hours) for name in clients}
    bars = {
        name: hour_bars(before, now.size, level, floor) for name, (before, now) in peaks.items() if before.size >= FEWEST_HOURS
    }
    evidence: dict[str, Any] = {
        "rule": BURST,
        "severity": "act",
        "clients": len(clients),
        "too_new": sorted(set(peaks) - set(bars)),
    }
    if not bars:
        reason = f"no client has {FEWEST_HOURS} hours of traffic to compare with"
        return Verdict(check=BURST, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence=evidence)
    usual = np.max(list(bars.values()), axis=0)
    found = []
    for name, (_, now) in peaks.items():
        bar = bars.get(name, usual)
        at = int(np.argmax(now / bar))
        found.append((float(now[at] / bar[at]), name, float(now[at]), float(bar[at])))
    ratio, worst, peak, bar_of = max(found)
    evidence |= {"client": worst, "effect": peak, "threshold": bar_of, "rows": int(counts.requests.sum())}
    told = f"client {worst}: {peak:.0f} requests in its busiest minute, bar {bar_of:.0f}"
    return Verdict(check=BURST, outcome=Outcome.FAIL if ratio > 1 else Outcome.PASS, reason=told, evidence=evidence)


def _peaks(counts: AccessCounts, client: str, hours: _Hours) -> tuple[Counts, Counts]:
    """Busiest minute of each hour, since the client's first request in the history and in the window."""
    mine = counts.clients == client
    before = _earlier(counts.per_minute(mine, hours.history, hours.first), np.max)
    active = np.flatnonzero(before)
    now = _hourly(counts.per_minute(mine, hours.first, hours.last), np.max)
    return (before[active[0] :] if active.size else before[:0]), now


def _earlier(minutes: Counts, fold: Any) -> Counts:
    """Fold hours that end where `minutes` end, the first may be a part."""
    padded = np.concatenate([np.zeros(-minutes.size % _MINUTES, dtype=np.int64), minutes])
    return np.asarray(fold(padded.reshape(-1, _MINUTES), axis=1), dtype=np.int64)


def _hourly(minutes: Counts, fold: Any) -> Counts:
    """Fold hours that begin where `minutes` begin, the last may be a part."""
    padded = np.concatenate([minutes, np.zeros(-minutes.size % _MINUTES, dtype=np.int64)])
    return np.asarray(fold(padded.reshape(-1, _MINUTES), axis=1), dtype=np.int64)


def hour_bars(before: Counts, hours: int, level: float, floor: float) -> NDArray[np.float64]:
    """What each of the `hours` after those `before` exceeds with probability `level`, never below `floor`.

    With three days and more, an hour is expected to be as the same hour of those days on average; what is left of the logarithms
    is what varies. Hours that stand out themselves (`_usual`) are left out: an attack must not hide the next one.
    """
    if before.size < FEWEST_HOURS:
        return np.full(hours, floor)
    phase, days = np.arange(before.size) % _DAY, before.size // _DAY
    if days < _FEWEST_DAYS:
        phase[:] = 0
    logs = np.log1p(before.astype(np.float64))
    usual = _usual(logs, phase, floor)
    means = np.bincount(phase[usual], weights=logs[usual]) / np.bincount(phase[usual])
    rest = (logs - means[phase])[usual]
    if days >= _FEWEST_DAYS:
        rest *= np.sqrt((days + 1) / (days - 1))  # means of so few days follow the logarithms, and are uncertain themselves
    drawn = DrawnWindows([], [int(hour) for hour in np.flatnonzero(usual)], float(rest.size), 1)
    beyond = null_threshold(rest, level, independent_windows(rest, drawn))
    expected = means[(before.size + np.arange(hours)) % means.size]
    return np.asarray(np.maximum(np.expm1(np.minimum(expected + beyond, logs[usual].max() + _FURTHEST)), floor))


def _usual(logs: NDArray[np.float64], phase: Counts, floor: float) -> NDArray[np.bool_]:
    """Hours up to the floor, or within six robust deviations of the median of their time of day (Hampel 1974): (n,).

    The deviation is 1.4826 x the median distance from those medians, at least about half of what a Poisson count has.
    """
    medians = np.array([np.median(logs[phase == one]) for one in range(int(phase.max()) + 1)])[phase]
    smallest = 0.5 / np.exp(np.median(logs) / 2)
    deviation = max(1.4826 * float(np.median(np.abs(logs - medians))), float(smallest))
    return np.asarray(logs <= np.maximum(medians + _FAR * deviation, np.log1p(floor)), dtype=np.bool_)
