"""What Envoy's statistics say of both arms' pools: health, requests under way, connect failures, ejections, copies' answers.

Answers of an arm with a fallback are charged to the aggregate, so a pool's own counters tell what began and what is under way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from include.lifecycle.rollout.gateway.arms import pool_name
from include.lifecycle.rollout.gateway.envoy_admin import EnvoyAdmin
from include.lifecycle.rollout.judging.checks import latency_limit_us
from include.lifecycle.rollout.judging.source_evidence import GatewayEvidence, PoolEvidence
from include.lifecycle.rollout.sources.base import Look
from include.serving.log_schema import BASELINE, LIVE, SHADOW

_COUNTERS = {
    "total": "upstream_rq_total",
    "completed": "upstream_rq_completed",
    "5xx": "upstream_rq_5xx",
    "never_sent": "upstream_rq_pending_failure_eject",
    "given_up": "upstream_cx_destroy_local_with_active_rq",  # HTTP/1: one connection is one request
    "connect_failures": "upstream_cx_connect_fail",
    "ejections": "outlier_detection.ejections_enforced_total",
}
_GAUGES = {"hosts": "membership_total", "healthy": "membership_healthy", "waiting": "upstream_rq_active"}
_TIMES = "upstream_rq_time"
_FEWEST = 50


@dataclass(frozen=True)
class GatewaySource:
    """Reads `admin` once a look, about 2 ms."""

    admin: EnvoyAdmin
    name: str = "gateway"

    def read(self, look: Look) -> dict[str, Any]:
        """`gateway`; of a shadow also its copies as requests, errors, and slow ones."""
        plan, mirrored = look.plan, look.stage is not None and look.stage.kind == "mirror"
        kind = BASELINE if plan.version == plan.champion else SHADOW if mirrored else LIVE
        mine = pool_name(plan.model, plan.version, kind)
        theirs = None if plan.champion is None else pool_name(plan.model, plan.champion)
        counters, buckets = self._read([mine, *([] if theirs is None else [theirs])])
        before = look.before.gateway
        if mine not in counters:
            return {}
        challenger = grown(before.challenger if before else None, counters[mine], buckets.get(mine, {}))
        champion = None
        if theirs in counters:
            champion = grown(before.champion if before else None, counters[theirs], buckets.get(theirs, {}))
        found = evidence(before, challenger, champion, look.now)
        return {"gateway": found} | (copies(look, before, found) if mirrored else {})

    def _read(self, pools: list[str]) -> tuple[dict[str, dict[str, int]], dict[str, dict[float, int]]]:
        """Counters and gauges by pool and name, and the cumulative buckets of the durations in milliseconds."""
        wanted = "|".join(one.replace(".", r"\.") for one in [*_COUNTERS.values(), *_GAUGES.values(), _TIMES])
        names = "|".join(pools)
        page = f"/stats?format=json&histogram_buckets=cumulative&filter=^cluster\\.({names})\\.({wanted})$"
        known = {full: short for short, full in (_COUNTERS | _GAUGES).items()}
        counters: dict[str, dict[str, int]] = {}
        buckets: dict[str, dict[float, int]] = {}
        for one in json.loads(self.admin.get(page))["stats"]:
            for histogram in one.get("histograms", []):
                pool = histogram["name"].removeprefix("cluster.").removesuffix(f".{_TIMES}")
                buckets[pool] = {float(edge["upper_bound"]): int(edge["cumulative"]) for edge in histogram["buckets"]}
            if "value" in one:
                pool, _, name = one["name"].removeprefix("cluster.").partition(".")
                counters.setdefault(pool, {})[known[name]] = int(one["value"])
        return counters, buckets


def grown(before: PoolEvidence | None, now: Mapping[str, int], buckets: Mapping[float, int]) -> PoolEvidence:
    """The pool's counts after another reading. A counter that fell was reset (its cluster was defined anew): it counts from 0."""
    last = now if before is None else before.last
    more = {name: _growth(last.get(name, now.get(name, 0)), now.get(name, 0)) for name in _COUNTERS}
    past = PoolEvidence() if before is None else before
    was_waiting = past.waiting if before is not None else now.get("waiting", 0)
    ended = max(more["total"] + more["never_sent"] + was_waiting - now.get("waiting", 0), 0)
    return PoolEvidence(
        hosts=now.get("hosts", 0),
        healthy=now.get("healthy", 0),
        waiting=now.get("waiting", 0),
        ended=past.ended + ended,
        answered=past.answered + max(ended - more["never_sent"] - more["given_up"], 0),
        failed=past.failed + max(ended - more["completed"] + more["5xx"], 0),
        connect_failures=past.connect_failures + more["connect_failures"],
        ejections=past.ejections + more["ejections"],
        buckets=_more_buckets(past, buckets, first=before is None),
        last=dict(now),
        last_buckets=dict(buckets),
    )


def _growth(last: int, now: int) -> int:
    return now - last if now >= last else now


def _more_buckets(past: PoolEvidence, now: Mapping[float, int], *, first: bool) -> dict[float, int]:
    if first:
        return dict.fromkeys(now, 0)
    reset = any(now.get(edge, 0) < count for edge, count in past.last_buckets.items())
    last = {} if reset else past.last_buckets
    return {edge: past.buckets.get(edge, 0) + count - last.get(edge, 0) for edge, count in now.items()}


def evidence(
    before: GatewayEvidence | None, challenger: PoolEvidence, champion: PoolEvidence | None, now: float
) -> GatewayEvidence:
    """Both pools, and since when the challenger is quiet or sick."""
    quiet = before is not None and challenger.answered == before.challenger.answered and before.challenger.waiting > 0
    sick = challenger.hosts > 0 and challenger.healthy == 0
    sick_since = before.sick_since if before is not None and before.sick_since is not None else now
    return GatewayEvidence(
        at=now,
        quiet_since=before.quiet_since if before is not None and quiet else now,
        champion_then=before.champion_then if before is not None and quiet else champion.answered if champion else 0,
        sick_since=sick_since if sick else None,
        challenger=challenger,
        champion=champion,
    )


def copies(look: Look, before: GatewayEvidence | None, now: GatewayEvidence) -> dict[str, Any]:
    """A shadow's copies as requests, errors and slow ones: no client's answer tells of them.

    Failures are tested against the champion's of the same look. Slow is judged by the bucket edge at or above the hard limit,
    from the champion's p95 rounded up to an edge: up to one bucket (a factor of 1.5 or so) is let through.
    """
    found, last = now.challenger, before.challenger if before else now.challenger
    requests, failed = found.ended - last.ended, min(found.failed - last.failed, found.ended - last.ended)
    theirs = look.seen.champion_requests - look.before.champion_requests
    their_errors = look.seen.champion_errors - look.before.champion_errors
    test = look.seen.error_test
    if requests or theirs:
        test = test.after((their_errors, theirs), (failed, requests))
    update: dict[str, Any] = {"requests": found.ended, "errors": min(found.failed, found.ended), "error_test": test}
    return update | _slow_copies(look, now)


def _slow_copies(look: Look, now: GatewayEvidence) -> dict[str, Any]:
    champion, shadow = now.champion.buckets if now.champion else {}, now.challenger.buckets
    total = max(champion.values(), default=0)
    if total < _FEWEST or not shadow:
        return {}
    p95 = next((edge for edge in sorted(champion) if champion[edge] >= 0.95 * total), None)
    if p95 is None:
        return {}
    limit_us = latency_limit_us(look.plan, 1000 * p95)
    edge = next((edge for edge in sorted(shadow) if 1000 * edge >= limit_us), None)
    timed = max(shadow.values())
    slow = 0 if edge is None else timed - shadow[edge]
    return {"timed": timed, "slow": slow, "limit_us": limit_us, "champion_p95_us": 1000 * p95}
