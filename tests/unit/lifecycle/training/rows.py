"""Synthetic trips for the unit tests of the training: key, time, features with nulls and trends, a target for each task."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from include.lifecycle.results import PreparedData
from include.lifecycle.spec import ModelSpec
from tests.unit.lifecycle.training.spec_for_tests import make_spec

START = pd.Timestamp(datetime(2013, 1, 1, tzinfo=UTC))
BINARY = make_spec()
REGRESSION = make_spec(objective={"task": "regression", "metric": "rmse", "floor": 50.0}, data={"target": "delay"})


def trips(rows: int, seed: int = 0, *, days: int = 60) -> pd.DataFrame:
    """`rows` trips over `days` days, oldest first; 25 drivers, of whom each drives all the time."""
    random = np.random.default_rng(seed)
    hour = random.integers(0, 24, rows)
    frame = pd.DataFrame(
        {
            "trip_id": [f"T{seed}-{number}" for number in range(rows)],
            "starts_at": START + pd.to_timedelta(np.linspace(0, days * 86_400, rows, endpoint=False), unit="s"),
            "distance": random.uniform(100, 3000, rows),
            "wind": random.gamma(2, 5, rows),
            "carrier": random.choice([f"C{n}" for n in range(12)], rows),
            "hour": hour.astype(str),
            "driver": random.choice([f"D{n}" for n in range(25)], rows),
        }
    )
    frame["starts_at"] = frame["starts_at"].astype("datetime64[us, UTC]")
    frame["late"] = (random.random(rows) < 0.1 + 0.4 * (hour > 15) + frame["wind"] / 80).astype("int8")
    frame["delay"] = 10.0 * (hour > 15) + frame["wind"] + random.normal(0, 3, rows)
    frame.loc[::9, "wind"] = np.nan
    frame["carrier"] = frame["carrier"].astype(object).where(random.random(rows) > 0.03)
    return frame


def prepared(folder: Path, rows: pd.DataFrame, spec: ModelSpec = BINARY) -> PreparedData:
    """Training rows as prepare_data hands them on; the hold-out is not read by what these tests look at."""
    rows.to_parquet(folder / "train.parquet", index=False)
    newest = rows[spec.data.event_time].max().to_pydatetime()
    return PreparedData(
        train=folder / "train.parquet",
        holdout=folder / "holdout.parquet",
        train_rows=len(rows),
        holdout_rows=1,
        fit_until=newest,
        holdout_until=newest,
    )
