"""Claims of rollouts: no failed request whatever changes or dies, a short outage of the gateway, broken canaries found at once.

Real gateway, supervisord, database and (but for broken canaries, whose behaviour is told) real model servers with an ONNX model.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from benchmarks import rollout_scenarios as scenarios
from benchmarks.gateway_stack import GatewayStack, running_stack
from benchmarks.harness import Bench, Claim
from benchmarks.rollout_lab import MODEL, RolloutLab, cleared, stage
from benchmarks.servers import postgres
from include.lifecycle.database import transaction
from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.migrations import upgrade
from include.lifecycle.rollout.driver import drive_once
from include.lifecycle.runtime import Runtime, build_runtime
from include.settings import load_settings

SIZES = {"switches": 50, "kills": 5, "breaches": 3}
TINY = {"switches": 4, "kills": 1, "breaches": 1}
WAYS: dict[str, dict[str, Any]] = {
    "5xx": {"fail": 1},
    "refused": {"refuse": True},
    "hanging": {"hang": True},
    "given_up": {"hang": True},
}
IMPATIENT = {"given_up": 0.8}  # seconds after which the clients leave, before the gateway asks another server
OUTAGE, TO_TRAFFIC, FOUND = 2.0, 100.0, 3.0  # seconds, milliseconds, seconds
FOUND_LATE = 4.0  # seconds; nothing tells of such a canary before its first client leaves
REQUESTS_PER_SECOND, SHARE = 20, 10  # of all clients; percent of them that the canary gets
_CLIENTS = 40  # one that waits for a hanging server asks for nothing meanwhile: the others keep the load up


def run(bench: Bench) -> list[Claim]:
    """All claims, on one stack."""
    with postgres(bench.folder, "modelops") as server, running_stack() as stack:
        upgrade(server.url("modelops"), server.passfile)
        place = {"MODELOPS_DATABASE_URL": server.url("modelops"), "MODELOPS_PASSFILE": str(server.passfile)}
        rt = build_runtime(load_settings(stack.environment | place))
        claims = [_failed_requests(bench, RolloutLab(rt, stack)), _outage(bench, RolloutLab(rt, stack))]
        return claims + _breaches(bench, rt, stack)


def _failed_requests(bench: Bench, lab: RolloutLab) -> Claim:
    """Sum over everything that changes the traffic; each part stands in the details."""
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "switches": lambda: scenarios.switches(lab, bench.sizes["switches"]),
        "canary": lambda: scenarios.canary(lab),
        "canary_with_baseline": lambda: scenarios.canary(lab, baseline=True),
        "blue_green": lambda: scenarios.blue_green(lab),
        "rolling": lambda: scenarios.rolling(lab),
        "rollback_in_a_canary": lambda: scenarios.rollback(lab, after_promotion=False),
        "rollback_in_the_bake": lambda: scenarios.rollback(lab, after_promotion=True),
        "killed_canary": lambda: scenarios.dead_canary(lab, bench.sizes["kills"]),
    }
    found = {}
    for name, scenario in parts.items():
        found[name] = scenario()
        bench.say(f"{name}: {found[name]['requests']} requests, {found[name]['failed']} failed")
    failed = sum(one["failed"] for one in found.values())
    requests = sum(one["requests"] for one in found.values())
    return Claim("rollout_failed_requests", failed, None, "requests", failed, 0, "at_most", {"of": requests, "parts": found})


def _outage(bench: Bench, lab: RolloutLab) -> Claim:
    """kill -9 of the gateway: the longest time without an answer, and how many requests were told so."""
    found = scenarios.dead_gateway(lab, bench.sizes["kills"])
    worst = found["outage_max_s"]
    bench.say(f"gateway killed {found['kills']} times: worst outage {worst:.2f} s, {found['failed']} failed requests")
    return Claim("rollout_gateway_outage", worst, None, "s", worst, OUTAGE, "at_most", found)


@dataclass(frozen=True)
class Breach:
    """Wall times (epoch seconds) of one canary's end: it broke, the look that saw it began, the decision stood, 0 % in force."""

    way: str
    broke: float
    looked: float
    decided: float
    in_force: float

    def told(self) -> dict[str, float]:
        """The parts: seconds of detection and decision, milliseconds from decision to traffic, seconds of all."""
        return {
            "detection_s": self.looked - self.broke,
            "decision_s": self.decided - self.looked,
            "traffic_ms": 1000 * (self.in_force - self.decided),
            "total_s": self.in_force - self.broke,
        }


def _breaches(bench: Bench, rt: Runtime, stack: GatewayStack) -> list[Claim]:
    lab, found = RolloutLab(rt, stack, real=False), list[Breach]()
    for _ in range(bench.sizes["breaches"]):
        for way, behaviour in WAYS.items():
            found.append(breach(lab, way, behaviour))
            bench.say(f"{way}: " + ", ".join(f"{name} {value:.3g}" for name, value in found[-1].told().items()))
    told = [one.told() for one in found]
    by_way = {way: [one.told() for one in found if one.way == way] for way in WAYS}
    details = {"runs": by_way, "median_s": statistics.median(one["total_s"] for one in told)}
    details |= {"worst_s": max(one["total_s"] for one in told), "requests_per_second": REQUESTS_PER_SECOND}
    found_after = {way: max(one["detection_s"] + one["decision_s"] for one in runs) for way, runs in by_way.items()}
    slowest = max(seconds for way, seconds in found_after.items() if way not in IMPATIENT)
    given_up = max(found_after[way] for way in IMPATIENT)
    moved = max(one["traffic_ms"] for one in told)
    return [
        Claim("rollout_broken_canary_found", slowest, None, "s", slowest, FOUND, "at_most", details),
        Claim("rollout_given_up_canary_found", given_up, None, "s", given_up, FOUND_LATE, "at_most", details),
        Claim("rollout_decision_to_traffic", moved, None, "ms", moved, TO_TRAFFIC, "at_most", details),
    ]


def breach(lab: RolloutLab, way: str, behaviour: dict[str, Any]) -> Breach:
    """A healthy canary with a tenth of 20 requests a second breaks; its rollout is looked at once a second, as usual."""
    with cleared(lab):
        lab.begin()
        opened = lab.open(2, [stage(SHARE, at_least="10m")])
        lab.drive(opened, until=0)
        clients = lab.clients(count=_CLIENTS, pause=_CLIENTS / REQUESTS_PER_SECOND, patience=IMPATIENT.get(way, 15.0))
        with clients, _watching(lab) as weights:
            for _ in range(5):
                time.sleep(1)
                drive_once(lab.rt, opened, "lab", hands=lab.hands)
            broke, looked = lab.break_version(2, **behaviour), 0.0
            while not lab.status(opened).pending and looked < broke + 60:
                time.sleep(1)
                looked = time.time()
                if drive_once(lab.rt, opened, "lab", hands=lab.hands) is not None:
                    break
            in_force = next(at for at, percent in weights if not percent and at > broke)
            return Breach(way, broke, looked, _decided(lab, opened), in_force)


def _decided(lab: RolloutLab, rollout_id: int) -> float:
    """When the decision to go back was stored; the database's clock is this machine's."""
    query = text("SELECT extract(epoch FROM min(wall_at)) FROM ledger WHERE act = 'roll_back' AND idempotency_key LIKE :key")
    with transaction(lab.rt.engine) as connection:
        return float(connection.execute(query, {"key": f"rollout:{rollout_id}:%"}).scalar_one())


@contextmanager
def _watching(lab: RolloutLab) -> Iterator[list[tuple[float, int]]]:
    """(wall time, percent of version 2 in force) every few milliseconds, from a thread of its own."""
    seen, ended = list[tuple[float, int]](), threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            with suppress(SourceUnavailableError):
                share = lab.target.read_back(MODEL).get(2, 0)
                seen.append((time.time(), share))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()
