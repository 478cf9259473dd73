"""The rainy model on a real database: runtimes at any time that share an empty outcomes table, and one look of its monitor."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import make_url, text

from include.lifecycle.clock import FixedClock
from include.lifecycle.monitoring.monitor import monitor_model
from include.lifecycle.monitoring.profile import Profile
from include.lifecycle.results import MonitoredModel
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from tests.conftest import PostgresServer
from tests.unit.lifecycle.monitoring.examples import MODEL, START

LIVE = START + timedelta(days=190)
RUN = RunContext(model=MODEL, run_id="run-1", task="monitor_model")
LABELS_SQL = (
    "SELECT id AS key, at AS event_time, wet AS label, known_at FROM outcomes WHERE at >= :window_start AND at < :window_end"
)


def rainy_world(make_runtime: Callable[..., Runtime], home: Path) -> Callable[[datetime], Runtime]:
    """Runtimes at any time, with the labels query in `home`; its outcomes table is made here."""
    (home / "include" / "sql" / "rain").mkdir(parents=True)
    (home / "include" / "sql" / "rain" / "labels.sql").write_text(LABELS_SQL)

    def at(now: datetime) -> Runtime:
        return make_runtime(FixedClock(now), MODELOPS_HOME=str(home))

    with at(LIVE).engine.begin() as connection:
        connection.execute(text("CREATE TABLE outcomes (id text, at timestamptz, wet int, known_at timestamptz)"))
    return at


def look(rt: Runtime, postgres: PostgresServer, spec: ModelSpec, profile: Profile | None) -> MonitoredModel:
    """Monitor the model once; every version has `profile`."""
    access = make_url(postgres.url(rt.engine.url.database, with_password=True))
    return monitor_model(spec, rt, RUN, access, profiles=lambda version: profile)
