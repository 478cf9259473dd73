"""Turns new lines of the access log into a rollout's Measurement: counts by arm since the present weights came into force.

Cursor and counts are stored together in the rollouts row, so each request is counted once however often the driver is killed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from include.lifecycle.rollout.gateway.access_log import Position, Request, end_of, parse, read_lines
from include.lifecycle.rollout.judging.checks import latency_limit_us
from include.lifecycle.rollout.judging.harm import compare_errors, compare_latency, known_share
from include.lifecycle.rollout.states import Cursor, Measurement, PerformanceEvidence, Plan, Stage, State, Status
from include.lifecycle.statistics.sketch import Sketch
from include.serving.log_schema import BASELINE

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
    stage = plan.stage_at(status.step) if status.state is State.RUNNING else None
    seen, window = _add(plan, stage, status.measurement, cursor.recent_champion_us, requests)
    if performance is not None:
        seen = seen.model_copy(update={"performance": performance()})
    after = cursor.model_copy(update={"inode": position.inode, "offset": position.offset, "recent_champion_us": window})
    return seen, after


@dataclass(frozen=True)
class _Arms:
    """The requests of one look by arm; `beside` is what the challenger is compared with."""

    challenger: list[Request]
    champion: list[Request]
    baseline: list[Request]
    beside: list[Request]


def _divide(plan: Plan, stage: Stage | None, requests: Sequence[Request]) -> _Arms:
    """Arms by assignment. In an A/A test the fresh server of the champion's own version is the challenger."""
    baseline = [one for one in requests if one.arm == BASELINE]
    champion = [one for one in requests if one.arm != BASELINE and one.assigned == plan.champion]
    if plan.version == plan.champion:
        return _Arms(baseline, champion, [], champion)
    challenger = [one for one in requests if one.arm != BASELINE and one.assigned == plan.version]
    return _Arms(challenger, champion, baseline, baseline if stage is not None and stage.baseline else champion)


def _add(
    plan: Plan, stage: Stage | None, seen: Measurement, recent: list[int], requests: Sequence[Request]
) -> tuple[Measurement, list[int]]:
    share = known_share(stage)
    fresh = _durations(_divide(plan, stage, requests).beside)
    window = (recent + fresh)[-max(WINDOW, len(fresh)) :]
    p95 = float(np.percentile(window, 95)) if len(window) >= _FEWEST else None
    limit = None if p95 is None else latency_limit_us(plan, p95)
    patience = patience_us(plan, seen, limit)
    arms = _divide(plan, stage, [one if one.answered else _without_answer(one, patience) for one in requests])
    update = _counts(seen, arms) | _hard_latency(seen, arms.challenger, p95, limit)
    if arms.challenger or arms.beside:
        update["error_test"] = compare_errors(seen.error_test, arms.beside, arms.challenger, share)
        if len(recent) >= _FEWEST:
            update |= compare_latency(plan, seen, recent, arms.beside, arms.challenger, share)
    return seen.model_copy(update=update), window[-WINDOW:]


def patience_us(plan: Plan, seen: Measurement, limit: float | None) -> float:
    """A request whose client left without an answer failed if it was under way for longer than this, microseconds.

    The latency limit (latency_limit_us) beside the champion's p95; where the champion tells none, as in the bake, beside the
    challenger's own p95 so far, and before that `limits.latency_floor`. A client that left sooner says nothing of the server.
    """
    if limit is not None:
        return limit
    own = seen.times.get("challenger", Sketch())
    p95 = own.quantile(0.95) if own.total >= _FEWEST else None
    return latency_limit_us(plan, p95 or 0.0)


def _without_answer(one: Request, patience: float) -> Request:
    return replace(one, failed=one.failed or (one.duration_us is not None and one.duration_us > patience))


def _tells(one: Request) -> bool:
    """Whether a request says anything of the server: its client did not leave before an answer could be expected."""
    return one.answered or one.failed


def _durations(requests: Sequence[Request]) -> list[int]:
    """How long the answers took, microseconds."""
    return [one.duration_us for one in requests if one.answered and one.duration_us is not None]


def _counts(seen: Measurement, arms: _Arms) -> dict[str, Any]:
    together = [*arms.challenger, *arms.champion, *arms.baseline]
    moments = [one.at for one in together]
    in_a_row = seen.failed_in_a_row
    for one in arms.challenger:
        in_a_row = in_a_row + 1 if one.failed else 0 if one.answered else in_a_row
    return {
        "requests": seen.requests + len(arms.challenger),
        "errors": seen.errors + _failed(arms.challenger),
        "rescued": seen.rescued + sum(one.rescued for one in arms.challenger),
        "left": seen.left + sum(not _tells(one) for one in arms.challenger),
        "failed_in_a_row": in_a_row,
        "champion_requests": seen.champion_requests + len(arms.champion),
        "champion_errors": seen.champion_errors + _failed(arms.champion),
        "baseline_requests": seen.baseline_requests + len(arms.baseline),
        "baseline_errors": seen.baseline_errors + _failed(arms.baseline),
        "first_at": min([*moments, *([] if seen.first_at is None else [seen.first_at])], default=None),
        "last_at": max([*moments, *([] if seen.last_at is None else [seen.last_at])], default=None),
        "times": _times(seen, {"challenger": arms.challenger, "champion": arms.champion, BASELINE: arms.baseline}),
    }


def _failed(requests: Sequence[Request]) -> int:
    return sum(one.failed for one in requests)


def _times(seen: Measurement, arms: dict[str, list[Request]]) -> dict[str, Sketch]:
    return seen.times | {
        name: seen.times.get(name, Sketch()).plus(took) for name, found in arms.items() if (took := _durations(found))
    }


def _hard_latency(seen: Measurement, challenger: list[Request], p95: float | None, limit: float | None) -> dict[str, Any]:
    if limit is None:
        return {}
    timed = [one.duration_us for one in challenger if one.duration_us is not None and _tells(one)]
    counts = {"timed": seen.timed + len(timed), "slow": seen.slow + sum(one > limit for one in timed)}
    return counts | {"limit_us": limit, "champion_p95_us": p95}
