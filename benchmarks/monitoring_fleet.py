"""What hourly monitoring of many models costs: CPU per model and window through the whole stage, how many fit on two cores."""

from __future__ import annotations

import resource
import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness import Bench, Claim, in_child, median
from benchmarks.monitoring_data import LENGTH, START, spec_of, write_table
from benchmarks.servers import postgres
from include.lifecycle.migrations import upgrade
from include.lifecycle.monitoring.profile import Profile, read_profile

COLUMNS, ROWS, HOURS = 12, 1000, 3
CORES, WANTED = 2, 1000
TASK_CPU = 1.5
"""CPU seconds that Airflow spends on a task besides what it runs, with preloaded libraries (see docs/benchmarks.md)."""


def fleet_claims(bench: Bench) -> list[Claim]:
    """Each repetition measures the third hour of `models` models, in a database of its own."""
    with postgres(bench.folder, "bench") as server:

        def once() -> dict[str, Any]:
            database = f"modelops_{time.time_ns()}"
            server.run("postgres", f"CREATE DATABASE {database}")
            upgrade(server.url(database), server.passfile)
            environment = {"MODELOPS_DATABASE_URL": server.url(database), "MODELOPS_PASSFILE": str(server.passfile)}
            folder = bench.folder / database
            return in_child(
                "benchmarks.monitoring_fleet:look", {"folder": str(folder), "models": bench.sizes["models"]}, environment
            )

        found = bench.interleaved({"fleet": once})["fleet"]
    seconds = median(found, "seconds_per_window")
    fit = CORES * 3600 / (seconds + TASK_CPU)
    told = {
        "runs": found,
        "columns": COLUMNS,
        "rows_per_window": ROWS,
        "airflow_cpu_per_task": TASK_CPU,
        "tasks_per_second": WANTED / 3600,
    }
    return [
        Claim("monitoring_cpu_per_window", seconds, None, "CPU s", seconds, 2.0, "at_most", told),
        Claim("monitoring_models_that_fit", fit, None, "models", fit / WANTED, 1.0, "at_least", told),
    ]


def look(folder: str, models: int) -> dict[str, Any]:
    """Three hourly looks at each model; the last one is timed, when everything is loaded and earlier windows are stored."""
    import pandas

    from include.lifecycle.clock import FixedClock
    from include.lifecycle.monitoring.monitor import monitor_model
    from include.lifecycle.monitoring.profile import build_profile
    from include.lifecycle.runtime import RunContext, build_runtime
    from include.settings import load_settings

    home = Path(folder)
    home.mkdir(parents=True)
    write_table(home / "rows.parquet", 20_000, COLUMNS, drifted=False)
    table = pandas.read_parquet(home / "rows.parquet")
    base = spec_of(COLUMNS, report="off")
    build_profile(base, table, table, table["prediction"].to_numpy(), seed=1).write(home / "profile")
    settings = load_settings({**_database(), "MODELOPS_STORAGE": str(home / "data"), "MODELOPS_LOCAL": folder})
    specs = [base.model_copy(update={"name": f"bench_{number}"}) for number in range(models)]
    spent = 0.0
    for hour in range(HOURS):
        rt = build_runtime(settings, FixedClock(START + (hour + 1) * LENGTH + timedelta(minutes=5)))
        for spec in specs:
            _serve(rt.storage.predictions(spec.name), table, hour)
            began = _cpu()
            run = RunContext(spec.name, f"bench-{hour}", "monitor_model")
            found = monitor_model(spec, rt, run, None, profiles=partial(_profile, home, spec.name))
            spent += _cpu() - began if hour == HOURS - 1 else 0.0
            if len(found.windows) != 1:
                raise AssertionError(f"{spec.name} measured {len(found.windows)} windows in hour {hour}")
        rt.engine.dispose()
    return {"seconds_per_window": spent / models, "models": models}


def _profile(home: Path, name: str, _version: int) -> Profile:
    return read_profile(home / "profile").model_copy(update={"model": name})


def _serve(folder: Path, table: Any, hour: int) -> None:
    """One hour's answers as a closed segment."""
    import json

    features = [name for name in table.columns if name[0] in "xk" and name[1:].isdigit()]
    lines = []
    for number, row in enumerate(table.iloc[hour * ROWS : (hour + 1) * ROWS].to_dict("records")):
        at = (START + hour * LENGTH + number * LENGTH / ROWS).isoformat()
        told = {
            "request_id": f"r-{hour}-{number}",
            "row": 0,
            "model_version": 1,
            "assigned_version": 1,
            "logged_at": at,
            "key": str(number),
        }
        told |= {
            "event_time": at,
            "prediction": row["prediction"],
            "latency_ms": 1.0,
            "features": {name: row[name] for name in features},
        }
        lines.append(json.dumps(told))
    (folder / "segments").mkdir(parents=True, exist_ok=True)
    (folder / "segments" / f"1-1-{hour}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _database() -> dict[str, str]:
    import os

    return {name: os.environ[name] for name in ("MODELOPS_DATABASE_URL", "MODELOPS_PASSFILE")}


def _cpu() -> float:
    spent = resource.getrusage(resource.RUSAGE_SELF)
    return spent.ru_utime + spent.ru_stime
