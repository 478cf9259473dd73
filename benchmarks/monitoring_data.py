"""Data of the monitoring claims: a reference table and a prediction log's window of any size, a few columns of it drifted."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from include.lifecycle.spec import ModelSpec
from include.serving.log_manifest import MANIFEST, CompactedFile
from include.serving.log_schema import PARQUET
from include.settings import PROJECT_ROOT

MODEL = "bench"
START = datetime(2026, 1, 5, tzinfo=UTC)
LENGTH = timedelta(hours=1)
CATEGORICAL_SHARE = 3  # every third column holds categories
DRIFTED = ("x0", "x1", "k2")
"""Columns that a drifted window moves: by 0.3 deviations, to a wider spread, to other shares."""


def columns_of(columns: int) -> tuple[list[str], list[str]]:
    """Names of numeric and of categorical columns."""
    numeric = [f"x{place}" for place in range(columns) if place % CATEGORICAL_SHARE != 2]
    return numeric, [f"k{place}" for place in range(columns) if place % CATEGORICAL_SHARE == 2]


def spec_of(columns: int, **monitoring: Any) -> ModelSpec:
    """The benchmark's model: hourly windows."""
    numeric, categorical = columns_of(columns)
    plain = yaml.safe_load((PROJECT_ROOT / "include/models/_defaults.yaml").read_text(encoding="utf-8"))
    plain |= {"name": MODEL, "owner": "bench", "tier": "primary", "columns": {}}
    plain["data"] |= {"connection": "db", "query": "bench/t.sql", "key": "id", "event_time": "at", "target": "wet"}
    plain["labels"] |= {"query": "bench/l.sql"}
    plain["features"] |= {"numeric": numeric, "categorical": categorical}
    plain["objective"] |= {"task": "binary_classification", "metric": "roc_auc", "floor": 0.5}
    plain["monitoring"] |= monitoring
    return ModelSpec.model_validate(plain)


def _values(columns: int, *, drifted: bool) -> list[str]:
    """SQL of each feature's value."""
    found = []
    for place in range(columns):
        if place % CATEGORICAL_SHARE == 2:
            power = 2.0 if drifted and f"k{place}" in DRIFTED else 1.0
            found.append(f"'c' || CAST(floor(12 * power(random(), {power})) AS INTEGER) AS k{place}")
        else:
            shift, spread = (0.3 if drifted and place == 0 else 0.0), (1.5 if drifted and place == 1 else 1.0)
            found.append(f"{shift} + {spread} * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()) AS x{place}")
    return found


def write_table(path: Path, rows: int, columns: int, *, drifted: bool, seed: int = 1) -> None:
    """A plain Parquet table of the features, `at`, `prediction` and `wet`: what peers read."""
    import duckdb

    step = LENGTH.total_seconds() / rows
    with duckdb.connect() as connection:
        connection.execute(f"SELECT setseed({seed / 100})")
        connection.execute("SET threads = 1")
        values = ", ".join(_values(columns, drifted=drifted))
        chosen = (
            f"SELECT i, TIMESTAMPTZ '{START.isoformat()}' + to_microseconds(CAST(i * {step * 1e6} AS BIGINT)) AS at, "
            f"random() AS prediction, CAST(random() < 0.4 AS INTEGER) AS wet, {values} FROM range({rows}) numbers(i)"
        )
        connection.execute(f"COPY ({chosen}) TO '{path}' (FORMAT parquet)")


def write_log(folder: Path, table: Path, rows: int, columns: int) -> None:
    """The same rows as one compacted file of a prediction log, answered by version 1."""
    import duckdb

    numeric, categorical = columns_of(columns)
    packed = ", ".join(f"{name} := {name}" for name in [*numeric, *categorical])
    (folder / PARQUET).mkdir(parents=True, exist_ok=True)
    plain = (
        "'r' || i AS request_id, 0 AS row, 1 AS model_version, 1 AS assigned_version, 'live' AS arm, NULL::VARCHAR AS unit, "
        'NULL::VARCHAR AS client, "at" AS logged_at, '
        "'k' || i AS key, \"at\" AS event_time, prediction, 1.0 AS latency_ms, "
        f"NULL::VARCHAR AS label, NULL::DOUBLE[] AS probabilities, struct_pack({packed}) AS features"
    )
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT {plain} FROM read_parquet('{table}')) TO '{folder / PARQUET / 'one.parquet'}' (FORMAT parquet)"
        )
    kinds = dict.fromkeys(numeric, "DOUBLE") | dict.fromkeys(categorical, "VARCHAR")
    times = START.isoformat(), (START + LENGTH - timedelta(microseconds=1)).isoformat()
    file = CompactedFile("one.parquet", [], rows, *times, features=kinds, class_columns=["label", "probabilities"])
    known = asdict(file) | {name: True for name in ("arms", "units", "clients") if name in asdict(file)}
    (folder / MANIFEST).write_text(json.dumps({"files": [known], "removing": []}), encoding="utf-8")
