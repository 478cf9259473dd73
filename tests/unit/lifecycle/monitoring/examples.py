"""A small model for monitoring's tests: its spec, and tables and logs with or without drift. Everything is seeded."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import yaml

from include.lifecycle.monitoring.labels import Labelled
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.profile import Profile, build_profile
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.spec import ModelSpec
from include.settings import PROJECT_ROOT

MODEL = "rain"
START = datetime(2013, 1, 1, tzinfo=UTC)
CITIES = ["Oslo", "Rome", "Lima", "Cork", "Bern"]


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    both = dict(base)
    for key, value in changes.items():
        both[key] = merged(both[key], value) if isinstance(value, dict) and isinstance(both.get(key), dict) else value
    return both


def make_spec(**changes: Any) -> ModelSpec:
    """The example's effective spec: daily windows, few rows, no skew (a drift from the first window on would be one, too);
    `changes` are merged over it."""
    model = {
        "name": MODEL,
        "owner": "tests",
        "tier": "primary",
        "risk": "low",
        "columns": {},
        "data": {"connection": "production_db", "query": "rain/t.sql", "key": "id", "event_time": "at", "target": "wet"},
        "labels": {"query": "rain/labels.sql", "mature_after": "6h"},
        "features": {"numeric": ["wind", "warmth"], "categorical": ["city"]},
        "objective": {"task": "binary_classification", "metric": "roc_auc", "floor": 0.6},
        "monitoring": {"window": "1d", "minimum_rows": 200, "minimum_labels": 150, "skew": {"windows": 0}},
        "retraining": {"confirm": {"windows": 2, "of": 3, "spanning": "24h"}},
    }
    defaults = yaml.safe_load((PROJECT_ROOT / "include" / "models" / "_defaults.yaml").read_text())
    defaults["columns"] = {}
    return ModelSpec.model_validate(merged(merged(defaults, model), changes))


def make_table(
    days: int, *, start: datetime = START, per_day: int = 100, seed: int = 1, warmer: float = 0.0, rate_shift: float = 0.0
) -> tuple[pandas.DataFrame, np.ndarray]:
    """`days` x `per_day` rows and each row's honest P(wet); `rate_shift` (logits) moves the truth away from those predictions."""
    random = np.random.default_rng(seed)
    rows = days * per_day
    at = [start + timedelta(seconds=float(second)) for second in np.sort(random.uniform(0, days * 86400, rows))]
    wind, warmth = random.gamma(2.0, 3.0, rows), random.normal(15 + warmer, 4, rows)
    logit = 0.35 * (wind - 6) - 0.05 * (warmth - 15 - warmer) - 0.8
    honest = 1 / (1 + np.exp(-logit))
    true_rate = 1 / (1 + np.exp(-logit - rate_shift))
    frame = pandas.DataFrame(
        {
            "id": [f"{seed}-{number}" for number in range(rows)],
            "at": pandas.to_datetime(at, utc=True),
            "wind": wind,
            "warmth": warmth,
            "city": random.choice(CITIES, rows, p=[0.4, 0.3, 0.15, 0.1, 0.05]),
            "wet": (random.uniform(size=rows) < true_rate).astype(np.int8),
        }
    )
    return frame, honest


def make_profile(spec: ModelSpec | None = None, **changes: Any) -> Profile:
    """Profile of a version trained on 150 days and held out on 30."""
    train, _ = make_table(150, seed=11, **changes)
    holdout, honest = make_table(30, start=START + timedelta(days=150), seed=12, per_day=220)
    return build_profile(spec or make_spec(), train, holdout, honest, seed=3)


def log_lines(frame: pandas.DataFrame, predictions: np.ndarray, *, version: int) -> list[str]:
    """The prediction log's lines for these rows."""
    lines = []
    for (_, row), prediction in zip(frame.iterrows(), predictions, strict=True):
        features = {name: None if pandas.isna(row[name]) else row[name] for name in ("wind", "warmth", "city") if name in row}
        lines.append(
            json.dumps(
                {
                    "request_id": f"r-{row['id']}",
                    "row": 0,
                    "model_version": version,
                    "assigned_version": version,
                    "logged_at": row["at"].isoformat(),
                    "key": row["id"],
                    "event_time": row["at"].isoformat(),
                    "prediction": float(prediction),
                    "latency_ms": 1.5,
                    "features": features,
                }
            )
        )
    return lines


def write_log(folder: Path, lines: list[str], *, version: int, name: int = 1) -> None:
    """One closed segment."""
    (folder / "segments").mkdir(parents=True, exist_ok=True)
    (folder / "segments" / f"{version}-1-{name}.jsonl").write_text("\n".join(lines) + "\n")


def as_predictions(frame: pandas.DataFrame, predictions: np.ndarray, *, days: int, start: datetime = START) -> Predictions:
    """These rows as one window, as the log would give them."""
    stamps = frame["at"].dt.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64)
    return Predictions(
        version=1,
        window=Window(start, start + timedelta(days=days)),
        times=stamps,
        keys=frame["id"].to_numpy(object),
        values=predictions,
        latencies=np.full(len(frame), 1.5),
        features={name: frame[name].to_numpy() for name in ("wind", "warmth")} | {"city": frame["city"].to_numpy(object)},
    )


def as_labelled(frame: pandas.DataFrame, predictions: np.ndarray) -> Labelled:
    """All rows with their outcome."""
    stamps = frame["at"].dt.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64)
    return Labelled(frame["wet"].to_numpy(np.float64), predictions, stamps, 1.0)
