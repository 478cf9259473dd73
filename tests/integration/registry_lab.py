"""A model's life up to the registry, without Airflow or a source: synthetic flights, real fits, real MLflow and PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io
import yaml

from include.lifecycle.clock import FixedClock
from include.lifecycle.evaluation.evaluate import evaluate_model
from include.lifecycle.ledger import Ledger
from include.lifecycle.registry.client import ensure_experiment, registry_client
from include.lifecycle.registry.registration import register_model
from include.lifecycle.results import Evaluation, PreparedData, RegisteredVersion, Snapshot, TrainedModel, TrainingOrder
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.storage import sha256_of
from include.lifecycle.training.pipelines import build_pipeline, feature_table, labels_of
from include.settings import PROJECT_ROOT

START = datetime(2013, 1, 1, tzinfo=UTC)
PARAMS: dict[str, dict[str, Any]] = {
    "hist_gradient_boosting": {"max_iter": 60, "learning_rate": 0.1},
    "random_forest": {"n_estimators": 20, "min_samples_leaf": 5},
    "logistic_regression": {"C": 1.0},
}


def lab_spec(name: str, **changes: Any) -> ModelSpec:
    """A spec over the real defaults; `changes` replace keys of sections, as in `evaluation={"minimum_rows": 50}`."""
    plain = yaml.safe_load((PROJECT_ROOT / "include/models/_defaults.yaml").read_text())
    own = {
        "name": name,
        "owner": "tests",
        "tier": "primary",
        "data": {"connection": "x", "query": "x.sql", "key": "flight_id", "event_time": "departs_at", "target": "late"},
        "labels": {"query": "y.sql"},
        "features": {"numeric": ["distance", "wind", "hour"], "categorical": ["carrier", "airport"]},
        "objective": {"task": "binary_classification", "metric": "roc_auc", "floor": 0.6},
    }
    for section, values in [*own.items(), *changes.items()]:
        plain[section] = plain.get(section, {}) | values if isinstance(values, dict) else values
    plain["columns"] = {}
    return ModelSpec.model_validate(plain)


def flights(first: datetime, days: int, per_day: int, seed: int, *, signal: float = 1.0) -> pd.DataFrame:
    """Synthetic flights with nulls in every kind of column and a day effect that rows of one day share."""
    random = np.random.default_rng(seed)
    rows = days * per_day
    day = np.repeat(np.arange(days), per_day)
    wind, hour = random.gamma(2.0, 5.0, rows).round(2), random.integers(5, 23, rows).astype(float)
    carrier = random.choice(np.array(["AA", "UA", "DL", "B6"], dtype=object), rows)
    score = signal * (0.08 * (wind - 10) + 0.12 * (hour - 14) + 0.9 * (carrier == "B6")) + random.normal(0, 0.4, days)[day] - 1.0
    late = (random.random(rows) < 1 / (1 + np.exp(-score))).astype("int8")
    wind[random.random(rows) < 0.05] = np.nan
    carrier[random.random(rows) < 0.02] = None
    moments = pd.Timestamp(first) + pd.to_timedelta(
        day * 86_400 + np.sort(random.integers(0, 86_400, (days, per_day)), axis=1).ravel(), unit="s"
    )
    frame = pd.DataFrame(
        {
            "flight_id": [f"F{seed}-{number}" for number in range(rows)],
            "departs_at": moments,
            "distance": random.integers(100, 2500, rows).astype(float),
            "wind": wind,
            "hour": hour,
            "carrier": pd.array(carrier, dtype="str"),
            "airport": pd.array(random.choice(["EWR", "JFK", "LGA"], rows), dtype="str"),
            "late": late,
        }
    )
    frame["departs_at"] = frame["departs_at"].astype("datetime64[us, UTC]")
    return frame


@dataclass
class Lab:
    """One model: `train` fits and evaluates, `register` registers; `at` moves the clock."""

    rt: Runtime
    spec: ModelSpec
    run_id: str = "manual__1"

    def at(self, now: datetime) -> Lab:
        """The same lab at another event time."""
        clock = FixedClock(now)
        rt = Runtime(self.rt.settings, clock, self.rt.storage, self.rt.engine, Ledger(self.rt.engine, clock))
        return Lab(rt, self.spec, self.run_id)

    def run(self, task: str) -> RunContext:
        return RunContext(self.spec.name, self.run_id, task)

    def order(self, **cause: Any) -> TrainingOrder:
        now = self.rt.clock.now()
        return TrainingOrder(
            model=self.spec.name,
            request_ids=[1],
            source="signal" if cause else "schedule",
            reason="a test",
            cause=cause,
            as_of=now,
            window_start=now - timedelta(days=182),
            window_end=now - timedelta(days=1),
        )

    def prepare(
        self, *, train_days: int = 60, holdout_days: int = 20, per_day: int = 100, seed: int = 1, signal: float = 1.0
    ) -> PreparedData:
        """Training and hold-out tables as prepare_data writes them."""
        everything = flights(START, train_days + holdout_days, per_day, seed, signal=signal)
        cut = pd.Timestamp(START + timedelta(days=train_days))
        train, holdout = everything[everything["departs_at"] < cut], everything[everything["departs_at"] >= cut]
        folder = self.run("prepare_data").folder(self.rt.storage)
        folder.mkdir(parents=True, exist_ok=True)
        train.to_parquet(folder / "train.parquet", index=False)
        holdout.to_parquet(folder / "holdout.parquet", index=False)
        return PreparedData(
            train=folder / "train.parquet",
            holdout=folder / "holdout.parquet",
            train_rows=len(train),
            holdout_rows=len(holdout),
            fit_until=train["departs_at"].max().to_pydatetime(),
            holdout_until=holdout["departs_at"].max().to_pydatetime(),
            positive_share=float(train["late"].mean()),
        )

    def fit(self, prepared: PreparedData, algorithm: str = "hist_gradient_boosting", *, rows: int | None = None) -> TrainedModel:
        """A fitted pipeline on disk and its MLflow run."""
        train = pd.read_parquet(prepared.train).head(rows) if rows else pd.read_parquet(prepared.train)
        pipeline = build_pipeline(self.spec, algorithm, PARAMS[algorithm])
        pipeline.fit(feature_table(self.spec.features, train), labels_of(self.spec, train))
        folder = self.run("train_model").folder(self.rt.storage)
        folder.mkdir(parents=True, exist_ok=True)
        skops.io.dump(pipeline, folder / "model.skops")
        mlflow_run = registry_client(self.rt).create_run(ensure_experiment(self.rt, self.spec.name)).info.run_id
        return TrainedModel(
            folder=folder,
            digest=sha256_of(folder / "model.skops"),
            algorithm=algorithm,
            params=PARAMS[algorithm],
            run_id=mlflow_run,
            seconds=1.0,
        )

    def evaluate(self, prepared: PreparedData, trained: TrainedModel, **cause: Any) -> Evaluation:
        return evaluate_model(self.spec, self.rt, self.run("evaluate_model"), self.order(**cause), prepared, trained)

    def register(
        self, prepared: PreparedData, trained: TrainedModel, evaluation: Evaluation, snapshot: Snapshot | None = None
    ) -> RegisteredVersion:
        taken = snapshot or Snapshot(snapshot_id="0" * 32, pointer="outs:\n- md5: 0\n", bytes=1)
        return register_model(self.spec, self.rt, self.run("register_model"), self.order(), taken, prepared, trained, evaluation)

    def whole(self, run_id: str, algorithm: str = "hist_gradient_boosting", **data: Any) -> RegisteredVersion:
        """One training from data to version, as run `run_id`."""
        self.run_id = run_id
        prepared = self.prepare(**data)
        trained = self.fit(prepared, algorithm)
        return self.register(prepared, trained, self.evaluate(prepared, trained))

    def holdout(self, prepared: PreparedData) -> pd.DataFrame:
        return pd.read_parquet(prepared.holdout)


def files_below(folder: Path) -> set[str]:
    """Relative names of all files below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
