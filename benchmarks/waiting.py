"""One triggerer with many rollouts that wait: the real triggers, each a row, a second between two looks, against PostgreSQL."""

from __future__ import annotations

import asyncio
import resource
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.fleet import generate
from benchmarks.harness import MEGABYTE, Bench, Claim, in_child, median
from benchmarks.servers import postgres
from include.lifecycle.migrations import upgrade

SIZES = {"rollouts": 200, "seconds": 20, "requests_per_second": 20}
TINY = {"rollouts": 5, "seconds": 3, "requests_per_second": 5}
CORES, MEMORY_MB = 1.0, 500.0  # of one triggerer process; one process of Python cannot take much more than a core
BETWEEN = 3.0  # seconds between two looks at one rollout, of which it sleeps one


def run(bench: Bench) -> list[Claim]:
    """Rows of rollouts in their first step, driven for some seconds by triggers in one event loop."""
    with postgres(bench.folder, "modelops") as server:
        upgrade(server.url("modelops"), server.passfile)
        home = bench.folder / "home"
        names = generate(home, bench.sizes["rollouts"])
        environment = {
            "MODELOPS_HOME": str(home),
            "MODELOPS_LOCAL": str(bench.folder / "local"),
            "MODELOPS_DATABASE_URL": server.url("modelops"),
            "MODELOPS_PASSFILE": str(server.passfile),
            "AIRFLOW_HOME": str(bench.folder / "airflow"),
        }
        made = in_child("benchmarks.waiting:open_rollouts", {"names": names}, environment)
        told = {"rollouts": made["rollouts"], "names": names} | {
            key: bench.sizes[key] for key in ("seconds", "requests_per_second")
        }
        found = bench.interleaved({"ours": lambda: in_child("benchmarks.waiting:drive", told, environment)})["ours"]
    cores, memory, looks = median(found, "cores"), median(found, "peak_bytes") / MEGABYTE, median(found, "looks_per_second")
    details = {"runs": found, "rollouts": len(names), "looks_per_second": looks}
    between = len(names) / looks
    return [
        Claim("triggerer_look", between, None, "s", between, BETWEEN, "at_most", details),
        Claim("triggerer_cores", cores, None, "cores", cores, CORES, "at_most", details),
        Claim("triggerer_memory", memory, None, "MB", memory, MEMORY_MB, "at_most", details),
    ]


def open_rollouts(names: list[str]) -> dict[str, Any]:
    """A row per model: version 2 at its first step beside champion 1."""
    from include.lifecycle.database import transaction
    from include.lifecycle.loading import load_model
    from include.lifecycle.rollout.gateway.traffic import DesiredTraffic, Server, write_desired
    from include.lifecycle.rollout.judging.measurements import start_of_step
    from include.lifecycle.rollout.planning.plans import make_plan
    from include.lifecycle.rollout.planning.recent_traffic import RecentTraffic
    from include.lifecycle.rollout.states import State, Status
    from include.lifecycle.runtime import build_runtime
    from include.lifecycle.tables import rollouts
    from include.settings import load_settings

    rt, now, ids = build_runtime(load_settings()), datetime.now(UTC), []
    log = rt.settings.gateway_log
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch()
    for number, name in enumerate(names):
        plan = make_plan(load_model(name, settings=rt.settings), 2, 1, RecentTraffic())
        status = Status(
            state=State.RUNNING, since=now, started=now, weights=plan.weights_at(0), cursor=start_of_step(log, time.time())
        )
        servers = {
            version: Server(ports=(20_000 + 2 * number + version,), digest="0" * 64, folder=f"/nowhere/{name}/{version}")
            for version in (1, 2)
        }
        row = {"model": name, "version": 2, "champion": 1, "strategy": plan.strategy, "state": "running", "created_at": now}
        row |= {"plan": plan.model_dump(mode="json"), "status": status.model_dump(mode="json")}
        with transaction(rt.engine) as connection:
            write_desired(connection, DesiredTraffic(model=name, champion=1, weights=plan.weights_at(0), servers=servers))
            ids.append(int(connection.execute(rollouts.insert().values(row).returning(rollouts.c.id)).scalar_one()))
    return {"rollouts": ids}


def drive(rollouts: list[int], names: list[str], seconds: float, requests_per_second: int) -> dict[str, Any]:
    """Run the triggers; requests of all models come in meanwhile. Looks are counted, imports and the first second are not."""
    from include.lifecycle.rollout import driver
    from include.settings import settings
    from modelops.triggers.rollout import RolloutTrigger

    looks: list[float] = []
    real = driver.drive_once

    def counted(*arguments: Any, **named: Any) -> Any:
        outcome = real(*arguments, **named)
        looks.append(time.monotonic())
        return outcome

    driver.drive_once = counted
    ended = threading.Event()
    traffic = threading.Thread(target=_traffic, args=(settings().gateway_log, names, requests_per_second, ended))
    traffic.start()
    try:
        taken, lasted = asyncio.run(_run([RolloutTrigger(one, 1.0) for one in rollouts], seconds))
    finally:
        ended.set()
        traffic.join()
    counted_looks = sum(1 for at in looks if at >= looks[-1] - lasted)
    return {"cores": taken / lasted, "looks_per_second": counted_looks / lasted, "looks": counted_looks}


async def _run(triggers: list[Any], seconds: float) -> tuple[float, float]:
    """CPU seconds of this process and wall seconds, once every trigger had its first look."""
    tasks = [asyncio.create_task(_drain(trigger)) for trigger in triggers]
    await asyncio.sleep(min(5.0, seconds))
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    await asyncio.sleep(seconds)
    after, lasted = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - began
    if ended := [task for task in tasks if task.done()]:
        raise RuntimeError(f"{len(ended)} rollouts did not wait: {ended[0].result()}")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, lasted


async def _drain(trigger: Any) -> Any:
    async for event in trigger.run():
        return event.payload
    return None


def _traffic(log: Path, names: list[str], per_second: int, ended: threading.Event) -> None:
    """Lines as the gateway writes them, round the models."""
    number = 0
    with log.open("a", encoding="utf-8") as handle:
        while not ended.wait(0.5):
            for _ in range(per_second // 2 or 1):
                number += 1
                name, assigned = names[number % len(names)], 1 + number % 2
                told = f'{{"ts": "{time.time():.6f}", "model": "{name}", "assigned": "{assigned}", "host": "127.0.0.1:'
                handle.write(
                    f'{told}{20_000 + 2 * (number % len(names)) + assigned}", "code": 200, "attempts": 1, "us": "900"}}\n'
                )
            handle.flush()
