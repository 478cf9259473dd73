"""Tuning with two workers against one, one native thread each: trials per minute of the function that the Dag's task calls."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

from benchmarks.harness import Bench, Claim, child_environment, in_child, median
from benchmarks.servers import mlflow, postgres
from benchmarks.tables import create_statement, wide_order, wide_spec, write_query
from include.lifecycle.migrations import upgrade
from include.settings import PROJECT_ROOT

SIZES = {"rows": 60_000, "columns": 20, "trials": 16}
TINY = {"rows": 2_000, "columns": 12, "trials": 4}
FASTER = 1.6
# every trial costs the same, so that the number of workers is all that differs
_SEARCH = {
    "hist_gradient_boosting": {
        "max_iter": [80],
        "learning_rate": {"low": 0.02, "high": 0.3, "start": 0.08, "log": True},
        "max_leaf_nodes": [23],
        "min_samples_leaf": [40],
        "l2_regularization": {"low": 0.001, "high": 10, "start": 0.1, "log": True},
    }
}


def run(bench: Bench) -> list[Claim]:
    """Both sides run the same number of trials on the same rows, in a study of their own each time."""
    with postgres(bench.folder, "bench", "modelops", "optuna") as server, mlflow(bench.folder) as tracking:
        bench.say("making the table")
        server.run("bench", create_statement(bench.sizes["rows"], bench.sizes["columns"]))
        upgrade(server.url("modelops"), server.passfile)
        write_query(bench.folder)
        environment = {
            "MODELOPS_HOME": str(bench.folder),
            "MODELOPS_STORAGE": str(bench.folder / "data"),
            "MODELOPS_DATABASE_URL": server.url("modelops"),
            "MODELOPS_OPTUNA_URL": server.url("optuna"),
            "MODELOPS_PASSFILE": str(server.passfile),
            "MODELOPS_MLFLOW_URL": tracking,
        }
        given = {"columns": bench.sizes["columns"], "trials": bench.sizes["trials"]}
        url = server.url("bench", with_password=True)
        prepared = in_child("benchmarks.tuning:prepare", given | {"url": url}, environment)["prepared"]
        sides = {
            f"{workers} workers": lambda workers=workers: _tuned(given, prepared, workers, environment) for workers in (2, 1)
        }
        found = bench.interleaved(sides)
    two, one = (median(found[f"{workers} workers"], "trials_per_minute") for workers in (2, 1))
    told = {"runs": found, "threads": 1}
    return [Claim("tuning_workers", two, one, "trials/min", two / one, FASTER, "at_least", told)]


def _tuned(given: dict[str, Any], prepared: dict[str, Any], workers: int, environment: dict[str, str]) -> dict[str, Any]:
    """Start the workers, let them go at once when all have imported everything, and take the time from first to last."""
    opened = in_child("benchmarks.tuning:open_one", given | {"prepared": prepared, "workers": workers}, environment)
    processes = []
    for worker in range(workers):
        told = json.dumps(given | {"prepared": prepared, "plan": opened["plan"], "worker": worker, "workers": workers})
        command = [sys.executable, "-m", "benchmarks.child", "benchmarks.tuning:work", told]
        processes.append(
            subprocess.Popen(
                command,
                cwd=PROJECT_ROOT,
                env=child_environment(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    try:
        for process in processes:
            if process.stdout is None or process.stdout.readline().strip() != "ready":
                raise RuntimeError("a tuning worker did not come up; its error stands above")
        for process in processes:  # all at once: `communicate` alone would let the second go when the first has ended
            if process.stdin is not None:
                process.stdin.write("go\n")
                process.stdin.flush()
        answers = [process.communicate()[0] for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
    shares = [json.loads(answer.splitlines()[-1]) for answer in answers]
    seconds = max(share["ended"] for share in shares) - min(share["began"] for share in shares)
    trials = sum(share["trials"] for share in shares)
    return {"seconds": seconds, "trials": trials, "trials_per_minute": 60 * trials / seconds, "shares": shares}


def prepare(url: str, columns: int, trials: int) -> dict[str, Any]:
    """Rows split as for a training."""
    from sqlalchemy import make_url

    from include.lifecycle.data.fetch import fetch_data
    from include.lifecycle.data.preparation import prepare_data
    from include.lifecycle.runtime import RunContext, build_runtime
    from include.settings import load_settings

    spec, rt = _spec(columns, trials, 1), build_runtime(load_settings())
    fetched = fetch_data(spec, rt, RunContext("wide", "bench", "fetch_data"), wide_order(), make_url(url))
    prepared = prepare_data(spec, rt, RunContext("wide", "bench", "prepare_data"), wide_order(), fetched)
    return {"prepared": prepared.model_dump(mode="json")}


def open_one(columns: int, trials: int, prepared: dict[str, Any], workers: int) -> dict[str, Any]:
    """A fresh study."""
    from include.lifecycle.results import PreparedData
    from include.lifecycle.runtime import RunContext, build_runtime
    from include.lifecycle.training.tuning import open_study
    from include.settings import load_settings

    run = RunContext("wide", f"bench-{time.time_ns()}", "prepare_data")
    spec, rt = _spec(columns, trials, workers), build_runtime(load_settings())
    return {"plan": open_study(spec, rt, run, wide_order(), PreparedData.model_validate(prepared)).model_dump(mode="json")}


def work(columns: int, trials: int, prepared: dict[str, Any], plan: dict[str, Any], worker: int, workers: int) -> dict[str, Any]:
    """One worker: import everything, say so, wait, then run trials."""
    import mlflow as _mlflow  # noqa: F401 - imported before the clock starts
    import sklearn.ensemble  # noqa: F401

    from include.lifecycle.results import PreparedData, StudyPlan
    from include.lifecycle.runtime import RunContext, build_runtime
    from include.lifecycle.training.tuning import run_trials, tuning_data
    from include.settings import load_settings

    spec, rt, split = _spec(columns, trials, workers), build_runtime(load_settings()), PreparedData.model_validate(prepared)
    tuning_data(spec, split)
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    run = RunContext("wide", plan["study"].rpartition("/")[2], "tune")
    share = run_trials(spec, rt, run, StudyPlan.model_validate(plan), split, worker)
    return {"began": began, "ended": time.monotonic(), "trials": share.trials}


def _spec(columns: int, trials: int, workers: int) -> Any:
    tuning = {"estimators": ["hist_gradient_boosting"], "trials": trials, "workers": workers, "threads": 1, "search": _SEARCH}
    tuning |= {"pruning": {"kind": "none", "startup_trials": 4, "warmup_folds": 0, "reduction": 3}, "warm_start": False}
    return wide_spec(columns, training=tuning)
