"""Imports the ML libraries once in the process that forks tasks, so that no task pays for it (measured: 24 s against 1 s).

Airflow imports this module in every process, before logging is set up, and an error here would stop the component: so it acts
only in a scheduler with LocalExecutor or a Celery worker, and skips what does not import.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
import warnings

__all__: list[str] = []  # each public name would replace one in airflow.settings

# Evidently last: it is the slowest and the least needed. `mlflow` before its flavours.
_LIBRARIES = (
    "sqlalchemy.dialects.postgresql",
    "pandas",
    "pyarrow.parquet",
    "duckdb",
    "connectorx",
    "scipy.stats",
    "sklearn.compose",
    "sklearn.ensemble",
    "sklearn.impute",
    "sklearn.linear_model",
    "sklearn.metrics",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "lightgbm",
    "mlflow",
    "mlflow.sklearn",
    "mlflow.onnx",
    "optuna.storages",
    "great_expectations",
    "skl2onnx",
    "onnxruntime",
    "skops.io",
    "dvc.repo",
    "evidently.presets",
)
_THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def _forks_tasks(arguments: list[str]) -> bool:
    """Whether this process is a scheduler with LocalExecutor or a Celery worker, by its command line and configuration."""
    words = arguments[1:3]
    if words[:2] == ["celery", "worker"]:
        return True
    if words[:1] != ["scheduler"]:
        return False
    from airflow.configuration import conf

    return "LocalExecutor" in conf.get("core", "executor")


def _preload(libraries: tuple[str, ...]) -> None:
    """Import `libraries`; one line on standard error says how long it took and what was skipped."""
    for name in _THREAD_SETTINGS:
        os.environ.setdefault(name, "1")  # native pools of threads are made at import and would not survive the fork
    began, skipped = time.monotonic(), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in libraries:
            try:
                importlib.import_module(name)
            except Exception as problem:  # noqa: BLE001 - a broken library must stop its tasks, not the scheduler
                skipped.append(f"{name} ({problem!r})")
    said = f"preloaded {len(libraries) - len(skipped)} libraries in {time.monotonic() - began:.1f} s"
    sys.stderr.write(said + (f"; skipped {', '.join(skipped)}" if skipped else "") + "\n")


if _forks_tasks(sys.argv):
    _preload(_LIBRARIES)
