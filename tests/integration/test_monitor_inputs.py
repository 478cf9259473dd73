"""Skew, seasons and roles through the whole monitoring stage: real PostgreSQL, prediction log, stored counts, signals."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import make_url, select, text

from include.lifecycle.clock import FixedClock
from include.lifecycle.monitoring.inputs.past import SEASONAL, read_past
from include.lifecycle.monitoring.monitor import monitor_model
from include.lifecycle.runtime import RunContext
from include.lifecycle.tables import signals, windows
from tests.unit.lifecycle.monitoring.examples import MODEL, START, log_lines, make_profile, make_spec, make_table, write_log

DAY = timedelta(days=1)
LIVE = START + timedelta(days=190)
RUN = RunContext(model=MODEL, run_id="run-1", task="monitor_model")
SKEWED = make_spec(monitoring={"skew": {"windows": 2}})
LABELS_SQL = """SELECT id AS key, at AS event_time, wet AS label, known_at FROM outcomes
WHERE at >= :window_start AND at < :window_end AND known_at <= :as_of;"""


@pytest.fixture(scope="module")
def profile():
    return make_profile(SKEWED)


@pytest.fixture
def world(make_runtime, postgres, tmp_path):
    (tmp_path / "include" / "sql" / "rain").mkdir(parents=True)
    (tmp_path / "include" / "sql" / "rain" / "labels.sql").write_text(LABELS_SQL)

    def at(now: datetime):
        return make_runtime(FixedClock(now), MODELOPS_HOME=str(tmp_path))

    with at(LIVE).engine.begin() as connection:
        connection.execute(text("CREATE TABLE outcomes (id text, at timestamptz, wet int, known_at timestamptz)"))
    return at


@pytest.fixture
def watch(postgres, profile):
    def look(rt, spec=SKEWED):
        source = make_url(postgres.url(rt.engine.url.database, with_password=True))
        return monitor_model(spec, rt, RUN, source, profiles=lambda version: profile)

    return look


def serve(rt, start, days, seed, **changes):
    frame, honest = make_table(days, start=start, per_day=300, seed=seed, **changes)
    write_log(rt.storage.predictions(MODEL), log_lines(frame, honest, version=1), version=1, name=seed)


def states(rt, kind):
    with rt.engine.begin() as connection:
        found = connection.execute(select(signals.c.cause, signals.c.state).where(signals.c.kind == kind)).all()
    return dict(map(tuple, found))


def checks(rt, place):
    with rt.engine.begin() as connection:
        rows = connection.execute(select(windows.c.verdicts).order_by(windows.c.window_start)).scalars().all()
    return {verdict["check"]: verdict["outcome"] for verdict in rows[place]}


def test_skew_stands_until_the_feeds_agree_and_is_looked_at_so_long(world, watch):
    rt = world(LIVE + 3 * DAY)
    serve(rt, LIVE, 3, 41, warmer=6.0)
    watch(rt)
    assert states(rt, "skew") == {"skew:warmth": "open"}
    assert {name for name in checks(rt, 1) if name.startswith("skew")} == {"skew:wind", "skew:warmth", "skew:city"}
    later = world(LIVE + 6 * DAY)
    serve(later, LIVE + 3 * DAY, 3, 42)
    watch(later)
    assert {name for name in checks(later, -1) if name.startswith("skew")} == {"skew:warmth"}
    assert states(later, "skew") == {"skew:warmth": "resolved"}
    assert {name for name in checks(later, 2) if name.startswith("skew")} == set()  # measured before it stood


def test_distances_to_the_season_are_kept_and_a_signals_windows_are_not(world, watch):
    rt = world(LIVE + 9 * DAY)
    serve(rt, LIVE, 9, 43)
    watch(rt)
    later = world(LIVE + 10 * DAY)
    serve(later, LIVE + 9 * DAY, 1, 44, warmer=6.0)
    watch(later)
    with later.engine.begin() as connection:
        past = read_past(connection, SKEWED, later.storage, later.clock.now())
        rows = connection.execute(select(windows.c.measurements).order_by(windows.c.window_start)).scalars().all()
    assert past.season is not None
    assert set(rows[-1][SEASONAL]) == {"wind", "city"}  # of two days a week apart; warmth's is drift
    assert past.season.recorded[LIVE + 9 * DAY].keys() == {"wind", "city"}
    assert past.started == {1: LIVE}
    assert not past.season.clean("warmth", LIVE + 9 * DAY, LIVE + 10 * DAY)
    assert past.season.clean("warmth", LIVE + 8 * DAY, LIVE + 9 * DAY)
    assert past.season.clean("wind", LIVE + 9 * DAY, LIVE + 10 * DAY)


def test_a_population_that_changed_is_a_signal_of_its_own_kind(world, watch):
    plain = dict.fromkeys(type(make_spec()).model_fields["columns"].annotation.__args__[1].model_fields)
    role = plain | {"drift": "watch", "pii": "keep", "outliers": "watch", "role": "population"}
    rt = world(LIVE + 2 * DAY)
    serve(rt, LIVE, 2, 45, warmer=6.0)
    watch(rt, make_spec(columns={"warmth": role}))
    assert states(rt, "population") == {"population:warmth": "open"}
    assert states(rt, "covariate") == {}
