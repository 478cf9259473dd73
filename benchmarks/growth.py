"""How cost grows with size: each of three sizes once, and the exponent of a power law through them (1 is linear growth)."""

from __future__ import annotations

from typing import Any

from benchmarks import fetch, fleet
from benchmarks.harness import MEGABYTE, Bench, Claim, exponent, in_child
from benchmarks.servers import postgres
from benchmarks.tables import create_statement
from include.lifecycle.migrations import upgrade

SIZES = {"rows": 300_000, "columns": 32, "models": 300}
TINY = {"rows": 9_000, "columns": 16, "models": 9}
STEPS = (9, 3, 1)  # the sizes are a ninth, a third and the whole
BARS = {"fetch": 1.2, "fetch_memory": 0.5, "validate": 1.2, "parse": 1.2, "decide": 1.2}
"""Somewhat above linear leaves room for noise; fetch's memory must hardly grow at all."""


def run(bench: Bench) -> list[Claim]:
    """One claim per measured quantity; `ours` is the exponent."""
    found: dict[str, list[tuple[float, float]]] = {}
    for step in STEPS:
        rows, models = bench.sizes["rows"] // step, bench.sizes["models"] // step
        for name, (size, value) in (_of_rows(bench, rows) | _of_models(bench, models)).items():
            found.setdefault(name, []).append((size, value))
            bench.say(f"{name} at {size}: {value:.4g}")
    return [_claim(name, points) for name, points in found.items()]


def _claim(name: str, points: list[tuple[float, float]]) -> Claim:
    sizes, values = zip(*points, strict=True)
    slope = exponent(sizes, values)
    return Claim(f"growth_{name}", slope, None, "exponent", slope, BARS[name], "at_most", {"sizes": sizes, "values": values})


def _of_rows(bench: Bench, rows: int) -> dict[str, tuple[int, float]]:
    """CPU seconds and memory of fetch, CPU seconds of validation; start-up and imports left out of time."""
    part = Bench({"rows": rows, "columns": bench.sizes["columns"]}, bench.folder, 1)
    with postgres(bench.folder, "bench", "modelops") as server:
        server.run("bench", create_statement(rows, bench.sizes["columns"]), "ANALYZE wide")
        upgrade(server.url("modelops"), server.passfile)
        environment = {"MODELOPS_DATABASE_URL": server.url("modelops"), "MODELOPS_PASSFILE": str(server.passfile)}
        given = fetch.arguments_of(part, server.url("bench", with_password=True))
        read = in_child("benchmarks.fetch:ours", given | {"digest": False}, environment)
        kept = in_child("benchmarks.validate:fetch_once", given, environment)
        told: dict[str, Any] = {"columns": bench.sizes["columns"], "folder": given["folder"], "fetched": kept["fetched"]}
        judged = in_child("benchmarks.validate:ours", told, environment)
    return {
        "fetch": (rows, read["seconds"]),
        "fetch_memory": (rows, read["peak_bytes"] / MEGABYTE),
        "validate": (rows, judged["seconds"]),
    }


def _of_models(bench: Bench, models: int) -> dict[str, tuple[int, float]]:
    """CPU seconds of a full parse, and seconds of `decide`, both per number of models."""
    home = bench.folder / f"home-{models}"
    fleet.generate(home, models)
    environment = fleet.airflow_environment(home, bench.folder / f"airflow-{models}")
    parsed = in_child("benchmarks.fleet:parse", {"home": str(home)}, environment)
    with postgres(bench.folder, "modelops") as server:
        upgrade(server.url("modelops"), server.passfile)
        server.run("modelops", *[fleet.signal(number) for number in range(models)])
        place = {"MODELOPS_HOME": str(home), "MODELOPS_STORAGE": str(bench.folder / "data")}
        place |= {"MODELOPS_DATABASE_URL": server.url("modelops"), "MODELOPS_PASSFILE": str(server.passfile)}
        decided = in_child("benchmarks.fleet:decide_all", {}, place)
    return {"parse": (models, parsed["parse_cpu"]), "decide": (models, decided["seconds"])}
