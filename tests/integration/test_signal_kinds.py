"""Each kind of signal on the demo's flights: drift of that kind is put in, and found, told and decided on; without any, nothing.

Everything is real but the passing of time: log files, labels query, PostgreSQL, monitoring, alerts, the arbiter.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import insert, make_url, select, text

from include.lifecycle.clock import FixedClock
from include.lifecycle.decisions.decide import decide
from include.lifecycle.loading import load_model
from include.lifecycle.monitoring.kinds import KINDS
from include.lifecycle.monitoring.monitor import monitor_model
from include.lifecycle.registry.scoring import fitted_scores
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import alerts, desired_traffic, ledger, signals, training_requests, windows
from include.serving.access_log import AccessLog
from include.settings import PROJECT_ROOT, load_settings
from tests.integration.flight_drifts import (
    burst_of_nulls,
    in_hours,
    logits,
    other_rows,
    ranked_by,
    shifted,
    shuffled,
    sweeping,
    turned_round,
    unsure,
)
from tests.integration.flights_lab import LIVE, MODEL, WINDOW, Change, Rescore, World, make_world, write_served

pytestmark = pytest.mark.integration
RUN = RunContext(model=MODEL, run_id="run-1", task="monitor_model")
HONEST, ALL = 3, 5  # honest windows first, so that the version is no longer new when the drift begins
OVERLAY = """\
columns: {carrier: {role: population}, seats: {role: equipment}}
monitoring:
  window: 72h
  minimum_rows: 300
  minimum_labels: 300
  resources: {cpu: null, memory: null, error_rate: null, latency_p95: 100ms}
  labels: {minimum_coverage: 0.5}
  traffic: {minimum_rows: 300}
  business: []
evaluation: {fairness: {attributes: [origin]}}
retraining: {confirm: {windows: 2, of: 3, spanning: 4d}}
"""
FEWER = """\
data: {expectations: []}
features:
  numeric: [distance, scheduled_minutes, departures_that_hour, seats, plane_age]
  categorical: [carrier, origin, hour, day_of_week]
monitoring:
  window: 72h
  minimum_rows: 300
  minimum_labels: 300
  resources: {cpu: null, memory: null, error_rate: null}
  multivariate: {enabled: true, rows: 450, draws: 20, folds: 2}
retraining: {confirm: {windows: 2, of: 3, spanning: 4d}}
"""
TRADING = OVERLAY.replace(
    "business: []", "business: [{name: bookings, query: flight_delay/bookings.sql, weeks: 3, minimum_weeks: 3}]"
)
BOOKINGS = "SELECT sum(amount) AS value FROM bookings WHERE at >= :window_start AND at < :window_end\n"
TABLES = (
    "CREATE TABLE arrivals (flight_id text, scheduled_departure timestamptz, arrival_delay float, known_at timestamptz)",
    "CREATE TABLE bookings (at timestamptz, amount float)",
)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of the demo's main model alone, with a number of the business beside it."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "include/models").mkdir(parents=True)
    shutil.copy(PROJECT_ROOT / f"include/models/{MODEL}.yaml", folder / "include/models")
    shutil.copytree(PROJECT_ROOT / f"include/sql/{MODEL}", folder / f"include/sql/{MODEL}")
    (folder / f"include/sql/{MODEL}/bookings.sql").write_text(BOOKINGS)
    return folder


def spec_of(home: Path, overlay: str) -> ModelSpec:
    (home / "overlay").mkdir(exist_ok=True)
    (home / "overlay" / f"{MODEL}.yaml").write_text(overlay)
    return load_model(MODEL, settings=load_settings({"MODELOPS_HOME": str(home), "MODELOPS_OVERLAY": str(home / "overlay")}))


@pytest.fixture(scope="module")
def world(home: Path) -> World:
    return make_world(spec_of(home, OVERLAY))


@pytest.fixture(scope="module")
def trading(home: Path, world: World) -> World:
    """The same with a number of the business."""
    return replace(world, spec=spec_of(home, TRADING))


@pytest.fixture(scope="module")
def hourly(home: Path) -> World:
    """A world whose model knows no weather: what moves its answers, and how its columns go together, is steady."""
    return make_world(spec_of(home, FEWER))


@dataclass
class Life:
    """One model's life up to the last window: served, labelled, measured, decided."""

    rt: Runtime
    spec: ModelSpec

    def rows(self, table: Any, *conditions: Any) -> list[Any]:
        with self.rt.engine.begin() as connection:
            return list(connection.execute(select(table).where(*conditions).order_by(table.c.id)).mappings())

    def opened(self) -> dict[str, Any]:
        """Signals by cause, whatever became of them."""
        return {row["cause"]: row for row in self.rows(signals)}


@dataclass(frozen=True)
class Drift:
    """What is put in from window `honest` to `until`, which World.served explains. `looks`: after which windows monitoring runs.

    `labels`: share of the drifted windows' outcomes that become known. `attack`: more requests; `refused`: requests without a
    good key in one hour of each window; `bookings`: the business's number per day.
    """

    change: Change | None = None
    rescore: Rescore | None = None
    honest: int = HONEST
    until: int = ALL
    looks: tuple[int, ...] = ()
    blind: bool = True
    labels: float = 1.0
    attack: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    refused: int = 0
    latency: float = 1.5
    bookings: float = 100.0


@pytest.fixture
def live(make_runtime: Callable[..., Runtime], postgres: Any, home: Path) -> Callable[[World, Drift], Life]:
    """Serve, label, measure, decide: one model's life with this drift in it."""

    def run(world: World, drift: Drift) -> Life:
        spec, until = world.spec, drift.until
        clocks = [FixedClock(LIVE + window * WINDOW + timedelta(hours=25)) for window in (*drift.looks, until)]
        rt = make_runtime(clocks[-1], MODELOPS_HOME=str(home))
        honest = world.served(None, (0, drift.honest))
        drifted = world.served(drift.change, (drift.honest, until), drift.rescore, blind=drift.blind)
        write(rt, world, drift, honest, drifted)
        with rt.engine.begin() as connection:
            for statement in TABLES:
                connection.execute(text(statement))
            connection.execute(insert(desired_traffic).values(model=MODEL, revision=1, champion=1))
            known = pd.concat([honest, drifted.sample(frac=drift.labels, random_state=1)])
            rows = [
                {"id": key, "at": at.to_pydatetime(), "delay": 60.0 * late}
                for key, at, late in zip(known["flight_id"], known["scheduled_departure"], known["arrived_late"], strict=True)
            ]
            connection.execute(text("INSERT INTO arrivals VALUES (:id, :at, :delay, :at + interval '12 hours')"), rows)
            days = [{"at": LIVE + day * DAY, "amount": 100.0 + day % 3} for day in range(3 * until)]
            days = [one | ({"amount": drift.bookings} if one["at"] >= LIVE + drift.honest * WINDOW else {}) for one in days]
            connection.execute(text("INSERT INTO bookings VALUES (:at, :amount)"), days)
        access = make_url(postgres.url(rt.engine.url.database, with_password=True))
        for clock in clocks:
            monitor_model(spec, replace(rt, clock=clock), RUN, access, profiles=lambda version: world.profile)
        decide([spec], rt, RUN)
        return Life(rt, spec)

    return run


def write(rt: Runtime, world: World, drift: Drift, honest: pd.DataFrame, drifted: pd.DataFrame) -> None:
    """The prediction log and the access log."""
    folder = rt.storage.predictions(MODEL)
    parts = [(honest, 1.5), (drifted, drift.latency)]
    if drift.attack is not None:
        attack = drift.attack(drifted)
        parts.append((attack.assign(prediction=fitted_scores(world.pipeline, world.spec.features, attack)), 1.5))
    for name, (part, latency) in enumerate(parts):
        if len(part):
            write_served(folder, world.spec, part, name=name, latency=latency)
    for window in range(drift.until if drift.refused else 0):
        for hour in range(72):
            at = (LIVE + window * WINDOW + timedelta(hours=hour)).timestamp()
            log = AccessLog(folder, 1, clock=lambda at=at: at)
            log.count("app", 200)
            for _ in range(drift.refused if window >= drift.honest and hour == 30 else 0):
                log.count("", 401)
            log.flush(everything=True)


@dataclass(frozen=True)
class Case:
    """The signal that the drift must open, what `decide` must say of it, the world that it happens in, windows that must fail."""

    cause: str
    code: str
    drift: Drift
    world: str = "world"
    windows: int = 2


WARMER = shifted("temp", 60)
CASES = {
    "unit": Case("data_fault:scheduled_minutes", "alert:data_fault", Drift(in_hours)),
    "nulls": Case("data_fault:wind_speed", "alert:data_fault", Drift(burst_of_nulls)),
    "shifted join": Case("data_fault:scheduled_minutes", "alert:data_fault", Drift(other_rows("scheduled_minutes"))),
    "security": Case("security:extraction", "alert:security", Drift(attack=sweeping)),
    "access": Case("access:denied", "alert:access", Drift(refused=400)),
    "covariate": Case("covariate:temp", "alert:no_decay", Drift(WARMER)),
    "prediction_drift": Case("prediction_drift", "alert:no_decay", Drift(None, logits(2.5), labels=0)),
    "decay": Case("decay:roc_auc", "retrain", Drift(None, shuffled)),
    "estimated_decay": Case("estimated_decay:roc_auc", "retrain", Drift(WARMER, unsure, labels=0)),
    "creep": Case("creep:temp", "alert:no_decay", Drift(shifted("temp", 20), honest=0, until=12, looks=(10,))),
    "population": Case("population:carrier", "alert:no_decay", Drift(lambda rows: rows.assign(carrier="UA"))),
    "equipment": Case("equipment:seats", "alert:no_decay", Drift(shifted("seats", 100))),
    "attribution_drift": Case("attribution_drift", "alert:no_decay", Drift(None, ranked_by("seats"), labels=0), "hourly"),
    "multivariate_drift": Case("multivariate_drift", "alert:no_decay", Drift(turned_round), "hourly"),
    "skew": Case("skew:temp", "alert:skew", Drift(WARMER, honest=0, until=3)),
    "bias": Case(
        "bias:origin:demographic_parity", "alert:bias", Drift(None, logits(3.0, lambda rows: rows["origin"] == "EWR"), labels=0)
    ),
    "business": Case("business:bookings", "alert:business", Drift(bookings=20.0, honest=9, until=11), "trading"),
    "resources": Case("resources:latency_p95", "alert:resources", Drift(latency=400.0)),
    "labels": Case("labels:coverage", "alert:labels", Drift(labels=0.2)),
    "traffic": Case("traffic:rows", "alert:traffic", Drift(lambda rows: rows.iloc[::3], blind=False)),
}


def test_every_kind_has_a_case() -> None:
    assert {case.cause.partition(":")[0] for case in CASES.values()} == set(KINDS)


@pytest.mark.parametrize("name", CASES)
def test_drift_that_is_put_in_is_found_told_and_decided_on(
    name: str, live: Callable[[World, Drift], Life], request: pytest.FixtureRequest
) -> None:
    case = CASES[name]
    life = live(request.getfixturevalue(case.world), case.drift)
    opened = life.opened()
    told = [one["reason"] for one in life.rows(windows)[-1]["verdicts"] if one["check"] == case.cause]
    assert case.cause in opened, (sorted(opened), told)
    signal = opened[case.cause]
    assert signal["last_decision"] == case.code
    assert signal["windows_failed"] >= case.windows
    assert [row for row in life.rows(ledger) if row["act"] == f"opened signal {case.cause}"]
    assert [row for row in life.rows(ledger) if row["kind"] == "decision" and case.cause in row["act"]]
    (alert,) = [row for row in life.rows(alerts) if row["key"] == f"signal:{case.cause}"]
    assert (alert["kind"], alert["state"]) == (signal["kind"], "open")
    assert bool(life.rows(training_requests)) is (case.code == "retrain")


def test_without_drift_nothing_is_told_over_twelve_windows(live: Callable[[World, Drift], Life], trading: World) -> None:
    life = live(trading, Drift(honest=12, until=12, looks=tuple(range(1, 12)), refused=400))
    measured = life.rows(windows)
    assert len(measured) == 12
    assert all(row["mature_rows"] == row["rows"] >= 400 for row in measured)
    passed = {
        verdict["check"].partition(":")[0] for row in measured for verdict in row["verdicts"] if verdict["outcome"] == "pass"
    }
    assert passed >= {
        "data_fault",
        "covariate",
        "prediction_drift",
        "decay",
        "population",
        "equipment",
        "skew",
        "creep",
        "access",
    }
    assert passed >= {"attribution_drift", "security", "business", "resources", "labels", "traffic"}
    assert life.opened() == {}
    assert life.rows(alerts) == life.rows(training_requests) == []
