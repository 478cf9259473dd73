"""What may not cost a client anything, each once under live traffic: requests, failures, and what was done meanwhile.

Tests run them short, benchmarks/rollouts.py long. Each takes a lab without traffic and returns numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from benchmarks.clients import Clients
from benchmarks.gateway_stack import wait_for
from benchmarks.rollout_lab import MODEL, RolloutLab, cleared, stage
from include.lifecycle.rollout.driver import abort_rollout
from include.lifecycle.rollout.gateway.traffic import Mirror

Numbers = dict[str, Any]
CHAMPION, CHALLENGER = 1, 2


def switches(lab: RolloutLab, count: int) -> Numbers:
    """The whole traffic from one version to the other and back, `count` times."""
    with cleared(lab):
        servers, took = {CHAMPION: lab.begin(), CHALLENGER: lab.serve(CHALLENGER)}, []
        with lab.clients() as clients:
            for number in range(count):
                share, begin = 100 * ((number + 1) % 2), time.perf_counter()
                lab.apply({CHAMPION: 100 - share, CHALLENGER: share}, servers, CHAMPION)
                took.append(1000 * (time.perf_counter() - begin))
        took.sort()
        return _told(clients) | {"switches": count, "switch_p50_ms": took[count // 2], "switch_max_ms": took[-1]}


def canary(lab: RolloutLab, *, baseline: bool = False, shares: tuple[int, ...] = (10, 25, 50)) -> Numbers:
    """A whole canary to promotion, with or without a concurrent baseline."""
    stages = [stage(share, baseline=share if baseline else 0) for share in shares]
    return _rollout(lab, lambda: lab.open(CHALLENGER, stages))


def blue_green(lab: RolloutLab) -> Numbers:
    """One switch to a second environment of two servers, and its end of the bake."""
    return _rollout(lab, lambda: lab.open(CHALLENGER, [], "blue_green", replicas=2), replicas=2)


def rolling(lab: RolloutLab, replicas: int = 3) -> Numbers:
    """Server by server."""
    turns = [
        stage(round(100 * new / replicas), servers=(new, replicas - new), requests=30, at_least="0s")
        for new in range(1, replicas)
    ]
    return _rollout(lab, lambda: lab.open(CHALLENGER, turns, "rolling", replicas=replicas), replicas=replicas)


def rollback(lab: RolloutLab, *, after_promotion: bool) -> Numbers:
    """A person's way back: in the middle of a canary, or from the bake of a switched environment."""
    with cleared(lab):
        lab.begin()
        with lab.clients() as clients:
            opened = lab.open(CHALLENGER, [] if after_promotion else [stage(50)], "canary", bake="10m")
            lab.drive(opened, until=0)
            time.sleep(1)
            begin = time.perf_counter()
            outcome = abort_rollout(lab.rt, opened, "person", "enough", hands=lab.hands)
            seconds = time.perf_counter() - begin
            time.sleep(1)
        back = lab.target.read_back(MODEL) == {CHAMPION: 100} and set(lab.target.servers(MODEL)) == {CHAMPION}
        return _told(clients) | {"seconds": seconds, "state": outcome.state, "back": back}


def dead_canary(lab: RolloutLab, kills: int) -> Numbers:
    """kill -9 of the canary's only server at 20 %, several times; supervisord brings it back."""
    with cleared(lab):
        servers = {CHAMPION: lab.begin(), CHALLENGER: lab.serve(CHALLENGER)}
        lab.apply({CHAMPION: 80, CHALLENGER: 20}, servers, CHAMPION)
        with lab.clients() as clients:
            for _ in range(kills):
                time.sleep(1)
                lab.kill_server(CHALLENGER)
                wait_for(lambda: CHALLENGER in lab.target.servers(MODEL), "the canary")
            time.sleep(1)
        return _told(clients) | {"kills": kills}


def dead_gateway(lab: RolloutLab, kills: int) -> Numbers:
    """kill -9 of Envoy under traffic: how long no client is answered; `other` counts failures at other times."""
    with cleared(lab):
        servers = {CHAMPION: lab.begin(), CHALLENGER: lab.serve(CHALLENGER)}
        lab.apply({CHAMPION: 80, CHALLENGER: 20}, servers, CHAMPION)
        outages: list[tuple[float, float]] = []
        with lab.clients() as clients:
            for _ in range(kills):
                time.sleep(1.5)
                begin = time.monotonic()
                lab.kill_gateway()
                wait_for(partial(_back_at, clients, begin), "the gateway")
                outages.append((begin, _back_at(clients, begin) or begin))
        split = lab.target.read_back(MODEL)
        seconds = [end - begin for begin, end in outages]
        failures = [sent for sent, _, status, _ in clients.answered if status != 200]
        other = sum(not any(begin - 0.1 <= sent <= end for begin, end in outages) for sent in failures)
        told = {"kills": kills, "outage_max_s": max(seconds), "outages_s": seconds, "other": other}
        return _told(clients) | told | {"split_kept": split == {CHAMPION: 80, CHALLENGER: 20}}


def _back_at(clients: Clients, killed: float) -> float | None:
    """When the first request that was sent after the kill was answered; None: none was yet."""
    good = [end for sent, end, status, _ in list(clients.answered) if status == 200 and sent > killed + 0.05]
    return min(good, default=None)


def bad_shadows(lab: RolloutLab, seconds: float, ways: Sequence[dict[str, Any]]) -> Numbers:
    """A load without a shadow, then all of it copied to one that is sick in one way after the other; needs tiny servers.

    `copied_p99_ms` is the worst way's; `copies` counts those that were sent to the shadow.
    """
    with cleared(lab):
        servers = {CHAMPION: lab.begin(), CHALLENGER: lab.serve(CHALLENGER)}
        counter = f"cluster.{MODEL}-{CHALLENGER}-shadow.upstream_rq_total"
        copied, copies = [], []
        with lab.clients(count=4) as clients:
            time.sleep(seconds)
            plain = clients.milliseconds(99)
            lab.apply({CHAMPION: 100, CHALLENGER: 0}, servers, CHAMPION, mirror=Mirror(version=CHALLENGER, percent=100))
            for way in ways:
                lab.break_version(CHALLENGER, **way)
                begin, before = time.monotonic(), lab.stack.admin.counter(counter)
                time.sleep(seconds)
                copied.append(clients.milliseconds(99, since=begin))
                copies.append(lab.stack.admin.counter(counter) - before)
        told = {"plain_p99_ms": plain, "copied_p99_ms": max(copied), "copies": copies}
        return _told(clients) | told | {"answered_by": sorted(map(str, clients.assigned))}


def _rollout(lab: RolloutLab, opened: Callable[[], int], replicas: int = 1) -> Numbers:
    with cleared(lab):
        lab.begin(replicas=replicas)
        with lab.clients() as clients:
            begin = time.perf_counter()
            outcome = lab.drive(opened())
            seconds = time.perf_counter() - begin
        alone = set(lab.target.servers(MODEL)) == {CHALLENGER} and not lab.target.servers(MODEL, baseline=True)
        state, reason = (outcome.state, outcome.reason) if outcome else ("open", "")
        ended = {"state": state, "reason": reason, "champion": lab.aliases["champion"], "alone": alone}
        return _told(clients) | {"seconds": seconds} | ended


def _told(clients: Clients) -> Numbers:
    return {
        "requests": clients.total,
        "failed": clients.failed,
        "p99_ms": clients.milliseconds(99),
        "problems": clients.problems[:3],
    }
