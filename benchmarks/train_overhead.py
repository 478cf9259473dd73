"""What Airflow adds to a training: the train Dag's run on a stack of its own against the same stages in plain processes.

Both sides train the demo's model on the same rows with two workers, and import what they need. A second stack runs without the
preloading of libraries (plugins/airflow_local_settings.py).
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median as middle
from typing import Any

from benchmarks.harness import Bench, Claim, in_child, median
from include.demo.data import load_data, production_url
from include.demo.episodes import Episode
from include.lifecycle.airflow_api import AirflowApi
from include.lifecycle.clock import ShiftedClock, write_clock
from include.lifecycle.training.remote import follow, start_training
from include.settings import PROJECT_ROOT
from include.stack.local import LocalStack

SIZES = {"trials": 12}
TINY = {"trials": 2}
MODEL, DAG = "flight_delay", "train__flight_delay"
BAR = 1.4
_PATIENCE = timedelta(minutes=10)
_IMPORTED = (
    "pandas",
    "pyarrow.parquet",
    "connectorx",
    "sklearn.ensemble",
    "lightgbm",
    "mlflow.sklearn",
    "optuna.storages",
    "great_expectations",
    "skl2onnx",
    "onnxruntime",
    "skops.io",
    "dvc.repo",
)


def run(bench: Bench) -> list[Claim]:
    """Preloaded Airflow and plain processes interleaved on one stack; Airflow without preloading on another, afterwards."""
    trials = bench.sizes["trials"]
    with _stack(bench, "preloaded", PROJECT_ROOT) as stack:
        _by_airflow(stack, trials)  # a first run fills caches on both sides: snapshots, MLflow's experiment, compiled files
        found = bench.interleaved({"airflow": lambda: _by_airflow(stack, trials), "plain": lambda: _by_processes(stack, trials)})
    with _stack(bench, "cold", _without_preloading(bench.folder / "home")) as stack:
        _by_airflow(stack, trials)
        cold = bench.interleaved({"without preloading": lambda: _by_airflow(stack, trials)})["without preloading"]
    wall, plain, slow = (median(rows, "seconds") for rows in (found["airflow"], found["plain"], cold))
    tasks = {
        side: {task: middle(row["tasks"][task] for row in rows) for task in rows[0]["tasks"]}
        for side, rows in (found | {"without preloading": cold}).items()
    }
    told = {"without_preloading_seconds": slow, "without_preloading_ratio": slow / plain, "seconds_by_task": tasks}
    told |= {"plain_import_seconds": median(found["plain"], "import_seconds"), "runs": found | {"without preloading": cold}}
    _show(bench, tasks)
    return [Claim("train_overhead", wall, plain, "s", wall / plain, BAR, "at_most", told)]


def _show(bench: Bench, tasks: dict[str, dict[str, float]]) -> None:
    bench.say("seconds by task: airflow, plain, without preloading")
    for task in tasks["airflow"]:
        told = (tasks[side].get(task) for side in ("airflow", "plain", "without preloading"))
        bench.say(f"  {task:<18}" + "".join("       -" if one is None else f"{one:8.1f}" for one in told))


@contextmanager
def _stack(bench: Bench, name: str, home: Path) -> Iterator[LocalStack]:
    """A stack with the demo's data at its cut, all Dags switched off but the one that is measured; ended whatever happens."""
    stack = LocalStack.at(bench.folder / name, home=home)
    bench.say(f"starting the stack {name}")
    try:
        stack.up()
        settings = stack.settings
        write_clock(stack.layout.clock_file, ShiftedClock(datetime.now(UTC), Episode(1).cut, 1.0))
        loaded = load_data(production_url(settings), settings.passfile, Episode(1))
        bench.say(f"{loaded.flights} flights loaded")
        with stack.airflow() as http:
            deadline = time.monotonic() + 180
            while DAG not in {dag["dag_id"] for dag in http.get("/api/v2/dags", params={"limit": 200}).json()["dags"]}:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"Airflow did not read {DAG} within three minutes; see {stack.layout.logs}")
                time.sleep(1)
            http.patch("/api/v2/dags", params={"dag_id_pattern": "%"}, json={"is_paused": True}).raise_for_status()
            http.patch(f"/api/v2/dags/{DAG}", json={"is_paused": False}).raise_for_status()
        yield stack
    finally:
        stack.down()


def _without_preloading(home: Path) -> Path:
    """A copy of the tree whose scheduler imports nothing beforehand."""
    for part in ("dags", "plugins", "include"):
        shutil.copytree(PROJECT_ROOT / part, home / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(PROJECT_ROOT / "airflow_settings.yaml", home / "airflow_settings.yaml")
    (home / "plugins" / "airflow_local_settings.py").unlink()
    return home


def _by_airflow(stack: LocalStack, trials: int) -> dict[str, Any]:
    """From the request to the end of the run, and each task's own time (of mapped ones the longest)."""
    run_id = f"bench__{time.time_ns()}"
    with AirflowApi(stack.settings) as api:
        began = time.monotonic()
        start_training(api, MODEL, {"reason": "benchmark", "trials": trials, "force": True}, run_id)
        follow(api, DAG, run_id, timeout=_PATIENCE, poll=0.25, tell=lambda _: None)
        seconds = time.monotonic() - began
        tasks: dict[str, float] = {}
        for task in api.task_states(DAG, run_id):
            if task["start_date"] and task["end_date"]:
                ended, started = (datetime.fromisoformat(task[name]) for name in ("end_date", "start_date"))
                tasks[task["task_id"]] = max(tasks.get(task["task_id"], 0.0), (ended - started).total_seconds())
    return {"seconds": seconds, "between_tasks": seconds - sum(tasks.values()), "tasks": tasks}


def _by_processes(stack: LocalStack, trials: int) -> dict[str, Any]:
    """From the start of the interpreter to its end."""
    given = {"url": production_url(stack.settings).render_as_string(), "trials": trials}
    began = time.monotonic()
    answer = in_child("benchmarks.train_overhead:plain", given, stack.environment())
    return answer | {"seconds": time.monotonic() - began}


def plain(url: str, trials: int) -> dict[str, Any]:
    """The whole training in this process, its workers in two of their own."""
    import importlib

    from include.lifecycle.commands.quiet import quiet_dvc
    from include.lifecycle.commands.source_option import source_of
    from include.lifecycle.loading import load_model
    from include.lifecycle.runtime import build_runtime
    from include.lifecycle.training.local import LocalTraining
    from include.settings import load_settings

    began = time.monotonic()
    for name in _IMPORTED:
        importlib.import_module(name)
    imported = time.monotonic() - began
    quiet_dvc()
    settings = load_settings()
    spec = load_model(MODEL, settings=settings)
    training = LocalTraining(spec, build_runtime(settings), source_of(argparse.Namespace(url=url), spec, settings))
    training.train({"reason": "benchmark", "trials": trials, "force": True})
    return {"import_seconds": imported, "tasks": training.seconds}
