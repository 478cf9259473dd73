"""A model of any task from a PostgreSQL table of trips through every train stage; and what its clients would send."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import URL, make_url

from include.lifecycle.clock import FixedClock
from include.lifecycle.data.fetch import fetch_data
from include.lifecycle.data.preparation import prepare_data
from include.lifecycle.data.snapshot import snapshot_data
from include.lifecycle.data.validation import validate_data
from include.lifecycle.evaluation.evaluate import evaluate_model
from include.lifecycle.registry.registration import register_model
from include.lifecycle.results import Evaluation, PreparedData, RegisteredVersion, Snapshot, TrainedModel, TrainingOrder
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.fitting import train_model
from include.lifecycle.training.tuning import open_study, run_trials
from tests.conftest import NOW, PostgresServer
from tests.integration.trips_source import run_sql
from tests.unit.lifecycle.registry.family_cases import spec_of, trips

LIVE = datetime(2013, 8, 3, tzinfo=UTC)
COLUMNS = ["trip_id", "starts_at", "distance", "wind", "carrier", "hour"]
TRAINING_SQL = """SELECT trip_id, starts_at, distance, wind, carrier, hour, late FROM trips
WHERE starts_at >= :window_start AND starts_at < :window_end"""
LABELS_SQL = """SELECT trip_id AS key, starts_at AS event_time, late AS label, starts_at + interval '1 hour' AS known_at
FROM trips WHERE starts_at >= :window_start AND starts_at < :window_end"""


def life_spec(task: str, name: str, **over: Any) -> ModelSpec:
    """The tests' model with this task, few trials, and daily windows."""
    small: dict[str, Any] = {
        "name": name,
        "training": {"estimators": ["lightgbm", "hist_gradient_boosting"], "trials": 2, "workers": 1, "folds": 2},
        "data": {"query": f"{name}/training.sql"},
        "labels": {"query": f"{name}/labels.sql", "mature_after": "2h"},
        "monitoring": {"window": "1d", "minimum_rows": 200, "minimum_labels": 150},
    }
    return spec_of(task, **(small | over))


def past_trips(task: str, rows: int = 5000) -> pd.DataFrame:
    """Labelled trips of the 170 days before NOW."""
    frame = trips(task, rows, seed=3)
    return frame.assign(starts_at=pd.date_range(NOW - timedelta(days=170), NOW - timedelta(days=2), periods=rows))


def live_trips(task: str, day: int, rows: int = 400) -> pd.DataFrame:
    """Trips of one day after LIVE, whose outcomes come later."""
    begin = LIVE + timedelta(days=day)
    frame = trips(task, rows, seed=100 + day)
    return frame.assign(starts_at=pd.date_range(begin, begin + timedelta(hours=23), periods=rows).floor("us"))


@dataclass
class Life:
    """One model on its source table; each method is a stage or what the outside world does."""

    rt: Runtime
    spec: ModelSpec
    postgres: PostgresServer
    database: str
    run_id: str = "manual__1"

    @classmethod
    def begin(cls, rt: Runtime, spec: ModelSpec, postgres: PostgresServer) -> Life:
        """Make the table and the SQL files."""
        folder = Path(rt.settings.home) / "include" / "sql" / spec.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "training.sql").write_text(TRAINING_SQL)
        (folder / "labels.sql").write_text(LABELS_SQL)
        database = postgres.create_database()
        kind = {"regression": "double precision", "binary_classification": "smallint"}.get(spec.objective.task, "text")
        wide = "trip_id text, starts_at timestamptz, distance double precision, wind double precision, carrier text, hour text"
        run_sql(postgres, database, f"CREATE TABLE trips ({wide}, late {kind})")
        return cls(rt, spec, postgres, database)

    @property
    def url(self) -> URL:
        return make_url(self.postgres.url(self.database, with_password=True))

    def insert(self, frame: pd.DataFrame) -> None:
        """Add labelled trips to the source."""
        text = frame[[*COLUMNS, "late"]].to_csv(index=False, header=False, na_rep="")
        connection = self.postgres.connect(self.database)
        with connection, connection.cursor() as cursor:
            cursor.copy_expert("COPY trips FROM STDIN WITH (FORMAT csv, NULL '')", io.StringIO(text))
        connection.close()

    def at(self, now: datetime) -> Life:
        """The same life with the clock at another event time."""
        from include.lifecycle.ledger import Ledger

        clock = FixedClock(now)
        rt = Runtime(self.rt.settings, clock, self.rt.storage, self.rt.engine, Ledger(self.rt.engine, clock))
        return replace(self, rt=rt)

    def run(self, task: str) -> RunContext:
        return RunContext(self.spec.name, self.run_id, task)

    def order(self) -> TrainingOrder:
        now = self.rt.clock.now()
        return TrainingOrder(
            model=self.spec.name,
            request_ids=[],
            source="manual",
            reason="a test",
            as_of=now,
            window_start=now - timedelta(days=182),
            window_end=now - timedelta(days=1),
        )

    def prepared(self) -> tuple[Snapshot, PreparedData]:
        """fetch, validate, snapshot, prepare."""
        order = self.order()
        fetched = fetch_data(self.spec, self.rt, self.run("fetch_data"), order, self.url)
        validated = validate_data(self.spec, self.rt, self.run("validate_data"), fetched)
        assert not validated.verdict.failed, validated.verdict.reason
        snapshot = snapshot_data(self.spec, self.rt, self.run("snapshot_data"), fetched)
        return snapshot, prepare_data(self.spec, self.rt, self.run("prepare_data"), order, fetched)

    def trained(self, prepared: PreparedData) -> TrainedModel:
        """tune and train."""
        plan = open_study(self.spec, self.rt, self.run("prepare_data"), self.order(), prepared)
        run_trials(self.spec, self.rt, self.run("tune"), plan, prepared, 0)
        return train_model(self.spec, self.rt, self.run("train_model"), self.order(), plan, prepared)

    def judged(self, prepared: PreparedData, trained: TrainedModel) -> Evaluation:
        """evaluate."""
        return evaluate_model(self.spec, self.rt, self.run("evaluate_model"), self.order(), prepared, trained)

    def whole(self) -> tuple[Evaluation, RegisteredVersion, TrainedModel, PreparedData]:
        """From the source to a registered version."""
        snapshot, prepared = self.prepared()
        trained = self.trained(prepared)
        evaluation = self.judged(prepared, trained)
        run = self.run("register_model")
        registered = register_model(self.spec, self.rt, run, self.order(), snapshot, prepared, trained, evaluation)
        return evaluation, registered, trained, prepared


def request_of(frame: pd.DataFrame) -> dict[str, Any]:
    """An Open Inference Protocol request for these trips, with key and event time."""
    plain = frame[COLUMNS].astype(object).where(frame[COLUMNS].notna(), None)
    plain["starts_at"] = [at.isoformat() for at in frame["starts_at"]]
    return {
        "inputs": [
            {
                "name": name,
                "shape": [len(frame)],
                "datatype": "FP64" if name in ("distance", "wind") else "BYTES",
                "data": plain[name].tolist(),
            }
            for name in COLUMNS
        ]
    }


def shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    """The same trips with each other's outcomes: predictions know nothing of them."""
    return frame.assign(late=np.random.default_rng(0).permutation(frame["late"].to_numpy()))
