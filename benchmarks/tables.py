"""Synthetic tables of any length and width, made inside PostgreSQL, and the model that reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from include.lifecycle.results import TrainingOrder
from include.lifecycle.spec import ModelSpec
from include.settings import PROJECT_ROOT

START = datetime(2013, 1, 1, tzinfo=UTC)
DAYS = 180
_FIXED = 3  # id, event time, target
_TEXT_EVERY = 4


def columns_of(columns: int) -> tuple[list[str], list[str]]:
    """Numeric and categorical feature names of a table with `columns` columns in all: every fourth is text."""
    numbers = range(columns - _FIXED)
    numeric = [f"n{number}" for number in numbers if number % _TEXT_EVERY]
    return numeric, [f"c{number}" for number in numbers if not number % _TEXT_EVERY]


def create_statement(rows: int, columns: int) -> str:
    """SQL that makes the table `wide`: the same values each time, some nulls, a target that the first numbers explain."""
    numeric, categorical = columns_of(columns)
    parts = [f"CASE WHEN random() < 0.02 THEN NULL ELSE random() * 100 END AS {name}" for name in numeric]
    parts += [f"'v' || (random() * 20)::int AS {name}" for name in categorical]
    signal = f"coalesce({numeric[0]}, 50) + coalesce({numeric[1]}, 50)"
    return (
        "SELECT setseed(0.5); CREATE TABLE wide AS SELECT *, "
        f"(random() * 60 + 70 < {signal})::int AS target FROM (SELECT i AS id, "
        f"timestamptz '{START.isoformat()}' + i * interval '1 second' * ({DAYS * 86400.0} / {rows}) AS at, {', '.join(parts)} "
        f"FROM generate_series(0, {rows} - 1) AS i) AS made"
    )


def wide_spec(columns: int, **changes: Any) -> ModelSpec:
    """The model over `wide`; `changes` are sections laid over the defaults."""
    numeric, categorical = columns_of(columns)
    plain = yaml.safe_load((PROJECT_ROOT / "include" / "models" / "_defaults.yaml").read_text(encoding="utf-8"))
    declared: dict[str, Any] = {
        "name": "wide",
        "owner": "benchmarks",
        "tier": "primary",
        "data": {"connection": "bench", "query": "wide/training.sql", "key": "id", "event_time": "at", "target": "target"},
        "labels": {"query": "wide/labels.sql"},
        "features": {"numeric": numeric, "categorical": categorical},
        "objective": {"task": "binary_classification", "metric": "roc_auc", "floor": "none"},
    }
    for section, values in [*declared.items(), *changes.items()]:
        plain[section] = plain.get(section, {}) | values if isinstance(values, dict) else values
    plain["columns"] = {}
    return ModelSpec.model_validate(plain)


def write_query(home: Path) -> None:
    """The model's SQL below `home`."""
    path = home / "include" / "sql" / "wide" / "training.sql"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("SELECT * FROM wide WHERE at >= :window_start AND at < :window_end\n", encoding="utf-8")


def wide_order() -> TrainingOrder:
    """An order over the whole table."""
    end = START + timedelta(days=DAYS + 2)
    return TrainingOrder(
        model="wide",
        request_ids=[],
        source="manual",
        reason="benchmark",
        as_of=end,
        window_start=START,
        window_end=START + timedelta(days=DAYS),
    )
