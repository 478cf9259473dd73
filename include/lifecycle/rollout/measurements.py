"""Turns new lines of the access log into a rollout's Measurement: counts by arm since the present weights came into force.

Cursor and counts are stored together in the rollouts row, so each request is counted once however often the driver is killed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from include.lifecycle.rollout.access_log import Position, Request, end_of, parse, read_lines
from include.lifecycle.rollout.checks import latency_limit_us
from include.lifecycle.rollout.states import Cursor, Measurement, PerformanceEvidence, Plan, Status

WINDOW = 200  # champion requests, at least, whose p95 a challenger's request is compared with
_FEWEST = 50  # with fewer champion requests nothing is said about latency

PerformanceReader = Callable[[], PerformanceEvidence | None]


def start_of_step(log: Path, since: float) -> Cursor:
    """Cursor for weights that came into force at `since` (epoch seconds): what was logged before is never counted."""
    position = end_of(log)
    return Cursor(inode=position.inode, offset=position.offset, since=since)


def measure(
    plan: Plan, status: Status, log: Path, ports: dict[int, tuple[int, ...]], performance: PerformanceReader | None = None
) -> tuple[Measurement, Cursor]:
    """Add the log's new lines to the status's measurement; cost is bounded by access_log.MAX_BYTES per call.

    `ports` maps versions to their servers' ports. Nothing is pooled across weights: each step starts from a new cursor.
    """
    cursor = status.cursor
    lines, position = read_lines(log, Position(cursor.inode, cursor.offset))
    mark = plan.model.encode()
    parsed = (parse(line, plan.model, ports) for line in lines if mark in line)
    requests = [one for one in parsed if one is not None and one.at >= cursor.since]
    seen, window = _add(plan, status.measurement, cursor.recent_champion_us, requests)
    if performance is not None:
        seen = seen.model_copy(update={"performance": performance()})
    after = cursor.model_copy(update={"inode": position.inode, "offset": position.offset, "recent_champion_us": window})
    return seen, after


def _add(plan: Plan, seen: Measurement, recent: list[int], requests: Sequence[Request]) -> tuple[Measurement, list[int]]:
    challenger = [one for one in requests if one.assigned == plan.version]
    champion = [one for one in requests if one.assigned == plan.champion]
    fresh = [one.duration_us for one in champion]
    window = (recent + fresh)[-max(WINDOW, len(fresh)) :]
    p95 = float(np.percentile(window, 95)) if len(window) >= _FEWEST else None
    limit = None if p95 is None else latency_limit_us(plan, p95)
    slow = 0 if limit is None else sum(one.duration_us > limit for one in challenger)
    counted = Measurement(
        requests=seen.requests + len(challenger),
        errors=seen.errors + sum(one.failed for one in challenger),
        timed=seen.timed + (0 if limit is None else len(challenger)),
        slow=seen.slow + slow,
        limit_us=seen.limit_us if limit is None else limit,
        champion_requests=seen.champion_requests + len(champion),
        champion_errors=seen.champion_errors + sum(one.failed for one in champion),
        champion_p95_us=seen.champion_p95_us if p95 is None else p95,
        performance=seen.performance,
    )
    return counted, window[-WINDOW:]
