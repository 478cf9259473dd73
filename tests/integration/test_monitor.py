"""Monitoring on a real PostgreSQL and a synthetic prediction log: windows, revisions, signals, and broken parts."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import make_url, select, text

from include.lifecycle.clock import FixedClock
from include.lifecycle.errors import DataInvalidError, SourceUnavailableError
from include.lifecycle.monitoring.monitor import monitor_model
from include.lifecycle.runtime import RunContext
from include.lifecycle.tables import desired_traffic, ledger, signals, training_requests, windows
from tests.unit.lifecycle.monitoring.examples import MODEL, START, log_lines, make_profile, make_spec, make_table, write_log

DAY = timedelta(days=1)
LIVE = START + timedelta(days=190)
RUN = RunContext(model=MODEL, run_id="run-1", task="monitor_model")
LABELS_SQL = """SELECT id AS key, at AS event_time, wet AS label, known_at FROM outcomes
WHERE at >= :window_start AND at < :window_end AND known_at <= :as_of;"""


@pytest.fixture(scope="module")
def profile():
    return make_profile()


@pytest.fixture
def world(make_runtime, postgres, tmp_path):
    """A runtime whose clock can be set, with the labels query in place and an empty outcomes table."""
    (tmp_path / "include" / "sql" / "rain").mkdir(parents=True)
    (tmp_path / "include" / "sql" / "rain" / "labels.sql").write_text(LABELS_SQL)

    def at(now: datetime):
        return make_runtime(FixedClock(now), MODELOPS_HOME=str(tmp_path))

    rt = at(LIVE)
    with rt.engine.begin() as connection:
        connection.execute(text("CREATE TABLE outcomes (id text, at timestamptz, wet int, known_at timestamptz)"))
    return at


def add_outcomes(rt, frame, known_at) -> None:
    rows = [
        {"id": row["id"], "at": row["at"].to_pydatetime(), "wet": int(row["wet"]), "known_at": known_at}
        for _, row in frame.iterrows()
    ]
    with rt.engine.begin() as connection:
        connection.execute(text("INSERT INTO outcomes VALUES (:id, :at, :wet, :known_at)"), rows)


def serve(rt, *, days=4, version=1, seed=77, keep=None, **changes):
    """Log `days` of live predictions from LIVE on; return the table behind them."""
    frame, honest = make_table(days, start=LIVE, per_day=400, seed=seed, **changes)
    write_log(rt.storage.predictions(MODEL), log_lines(frame, honest, version=version), version=version, name=seed)
    return frame


def labels_url(rt, postgres):
    return make_url(postgres.url(rt.engine.url.database, with_password=True))


def rows_of(rt, table, **where):
    with rt.engine.begin() as connection:
        query = select(table).order_by(table.c.id)
        for name, value in where.items():
            query = query.where(table.c[name] == value)
        return list(connection.execute(query).mappings())


@pytest.fixture
def watch(postgres, profile):
    def look(rt, spec=None, **options):
        chosen = options.pop("profiles", lambda version: profile)
        return monitor_model(spec or make_spec(), rt, RUN, labels_url(rt, postgres), profiles=chosen, **options)

    return look


def test_quiet_days_give_windows_and_no_signal(world, watch):
    rt = world(LIVE + 4 * DAY + timedelta(hours=7))
    add_outcomes(rt, serve(rt), LIVE + 4 * DAY + timedelta(hours=6))
    found = watch(rt)
    assert found.signals == []
    assert len(found.windows) == 4
    assert found.health > 0.8
    stored = rows_of(rt, windows)
    assert [row["rows"] for row in stored] == [row["mature_rows"] for row in stored]
    assert sum(row["rows"] for row in stored) == 1600
    assert watch(rt).windows == []


def test_an_unfinished_window_waits(world, watch):
    rt = world(LIVE + 2 * DAY + timedelta(hours=12))
    serve(rt)
    watch(rt)
    assert [row["window_end"] for row in rows_of(rt, windows)] == [LIVE + DAY, LIVE + 2 * DAY]


def test_a_label_without_a_key_hides_no_other(world, watch):
    rt = world(LIVE + DAY + timedelta(hours=7))
    numbers = {f"77-{number}": str(number) for number in range(400)}
    frame, honest = make_table(1, start=LIVE, per_day=400, seed=77)
    frame["id"] = frame["id"].map(numbers)
    write_log(rt.storage.predictions(MODEL), log_lines(frame, honest, version=1), version=1)
    add_outcomes(rt, frame, LIVE + DAY + timedelta(hours=6))
    with rt.engine.begin() as connection:
        connection.execute(text("ALTER TABLE outcomes ALTER COLUMN id TYPE bigint USING id::bigint"))
        connection.execute(text("INSERT INTO outcomes VALUES (NULL, :at, 1, :at)"), {"at": LIVE + timedelta(hours=1)})
    watch(rt)
    (stored,) = rows_of(rt, windows)
    assert (stored["rows"], stored["mature_rows"]) == (400, 400)


def test_labels_that_mature_append_a_revision(world, watch):
    early, late = world(LIVE + DAY + timedelta(hours=1)), world(LIVE + DAY + timedelta(hours=7))
    frame = serve(early, days=1)
    watch(early)
    add_outcomes(late, frame, LIVE + DAY + timedelta(hours=6))
    watch(late)
    stored = rows_of(late, windows)
    assert [(row["revision"], row["mature_rows"]) for row in stored] == [(1, 0), (2, 400)]
    assert watch(late).windows == []


def test_hourly_windows_wait_a_day_for_their_labels(world, watch):
    hourly = make_spec(monitoring={"window": "1h", "minimum_rows": 10, "minimum_labels": 10}, labels={"mature_after": "24h"})
    rt = world(LIVE + timedelta(hours=6))
    frame = serve(rt, days=1)
    watch(rt, spec=hourly)
    assert len(rows_of(rt, windows)) == 6
    waiting = world(LIVE + timedelta(hours=12))
    assert len(watch(waiting, spec=hourly).windows) == 6
    add_outcomes(rt, frame, LIVE + timedelta(hours=25))
    later = world(LIVE + timedelta(hours=28))
    watch(later, spec=hourly)
    mature = [row["window_start"] for row in rows_of(later, windows) if row["mature_rows"]]
    assert mature == [LIVE + timedelta(hours=hour) for hour in range(4)]


def test_the_newest_known_label_wins(world, watch):
    rt = world(LIVE + 2 * DAY)
    frame = serve(rt, days=1)
    add_outcomes(rt, frame.assign(wet=1), LIVE + DAY)
    add_outcomes(rt, frame.assign(wet=0), LIVE + DAY + timedelta(hours=1))
    watch(rt)
    assert rows_of(rt, windows)[0]["measurements"]["performance"]["observed_rate"] == 0.0


def test_a_calibration_gap_becomes_one_confirmed_signal(world, watch):
    rt = world(LIVE + 4 * DAY + timedelta(hours=7))
    add_outcomes(rt, serve(rt, rate_shift=-2.0), LIVE + 4 * DAY)
    found = watch(rt)
    (signal,) = [row for row in rows_of(rt, signals) if row["cause"] == "decay:calibration_gap"]
    assert signal["id"] in found.signals
    assert (signal["kind"], signal["severity"], signal["state"], signal["version"]) == ("decay", "act", "open", 1)
    assert signal["windows_failed"] == 3  # of the last three
    assert signal["evidence"]["spanning_seconds"] == 3 * 86400
    assert signal["evidence"]["measure"] == "calibration_gap"
    opened = [row for row in rows_of(rt, ledger) if row["act"] == "opened signal decay:calibration_gap"]
    assert len(opened) == 1
    watch(rt)
    assert len(rows_of(rt, signals, cause="decay:calibration_gap")) == 1


def test_a_warmer_season_is_a_covariate_warning_only(world, watch):
    rt = world(LIVE + 3 * DAY + timedelta(hours=7))
    add_outcomes(rt, serve(rt, days=3, warmer=6.0), LIVE + 3 * DAY)
    watch(rt)
    (signal,) = rows_of(rt, signals)
    assert (signal["cause"], signal["severity"]) == ("covariate:warmth", "warn")
    assert signal["effect"] == pytest.approx(1.5, abs=0.2)


def test_a_vanished_column_is_a_data_fault_and_no_drift(world, watch):
    rt = world(LIVE + 2 * DAY)
    frame, honest = make_table(2, start=LIVE, per_day=400, seed=5)
    lines = log_lines(frame.drop(columns="warmth"), honest, version=1)
    write_log(rt.storage.predictions(MODEL), lines, version=1)
    watch(rt)
    (signal,) = rows_of(rt, signals)
    assert (signal["cause"], signal["severity"], signal["evidence"]["fault"]) == ("data_fault:warmth", "critical", "missing")


def test_a_cause_that_ends_is_resolved(world, watch):
    first, later = world(LIVE + 2 * DAY), world(LIVE + 6 * DAY)
    serve(first, days=2, warmer=6.0)
    watch(first)
    frame, honest = make_table(4, start=LIVE + 2 * DAY, per_day=400, seed=78)
    write_log(first.storage.predictions(MODEL), log_lines(frame, honest, version=1), version=1, name=2)
    watch(later)
    (signal,) = rows_of(later, signals)
    assert signal["state"] == "resolved"
    assert [row["act"] for row in rows_of(later, ledger)][-2:] == ["resolved signal covariate:warmth", "resolve alert"]


def test_a_new_champion_resolves_the_old_ones_signals(world, watch):
    rt = world(LIVE + 2 * DAY)
    serve(rt, days=2, warmer=6.0)
    watch(rt)
    with rt.engine.begin() as connection:
        connection.execute(desired_traffic.insert().values(model=MODEL, revision=1, champion=2))
    watch(rt)
    (signal,) = rows_of(rt, signals)
    assert signal["state"] == "resolved"


def test_each_version_that_served_is_measured_apart(world, watch):
    rt = world(LIVE + 2 * DAY)
    serve(rt, days=1, version=1)
    serve(rt, days=1, version=2, seed=78)
    watch(rt)
    assert [(row["version"], row["rows"]) for row in rows_of(rt, windows)] == [(1, 400), (2, 400)]


def test_a_broken_labels_query_hides_no_drift(world, watch, tmp_path):
    (tmp_path / "include" / "sql" / "rain" / "labels.sql").write_text("SELECT * FROM nowhere")
    rt = world(LIVE + 2 * DAY)
    serve(rt, days=2, warmer=6.0)
    found = watch(rt)
    (note,) = [verdict for verdict in found.verdicts if verdict.check == "labels"]
    assert "nowhere" in note.reason
    assert [row["cause"] for row in rows_of(rt, signals)] == ["covariate:warmth"]


def test_too_few_rows_are_inconclusive(world, watch):
    rt = world(LIVE + 2 * DAY)
    serve(rt, days=2)
    found = watch(rt, spec=make_spec(monitoring={"minimum_rows": 5000}))
    outcomes = {v["outcome"] for row in rows_of(rt, windows) for v in row["verdicts"]}
    assert outcomes == {"inconclusive"}
    assert found.health is None


def test_a_cause_in_training_is_not_opened_again(world, watch):
    rt = world(LIVE + 2 * DAY)
    serve(rt, days=2, warmer=6.0)
    watch(rt)
    request = {"model": MODEL, "source": "signal", "reason": "r", "state": "claimed", "requested_at": LIVE, "requested_by": "x"}
    with rt.engine.begin() as connection:
        asked = connection.execute(training_requests.insert().values(request).returning(training_requests.c.id)).scalar_one()
        connection.execute(signals.update().values(state="accepted", training_request_id=asked))
    later = world(LIVE + 3 * DAY)
    frame, honest = make_table(1, start=LIVE + 2 * DAY, per_day=400, seed=78, warmer=6.0)
    write_log(rt.storage.predictions(MODEL), log_lines(frame, honest, version=1), version=1, name=2)
    assert watch(later).signals == []
    with rt.engine.begin() as connection:
        connection.execute(training_requests.update().values(state="done"))
    assert len(watch(later).signals) == 1


def test_a_run_that_broke_off_is_repeated_without_doubles(world, watch):
    rt = world(LIVE + 3 * DAY)
    serve(rt, days=3, warmer=6.0)

    def gone(version):
        raise SourceUnavailableError("MLflow went away")

    with pytest.raises(SourceUnavailableError):
        watch(rt, profiles=gone)
    assert rows_of(rt, windows) == rows_of(rt, signals) == []
    watch(rt)
    watch(rt)
    assert len(rows_of(rt, windows)) == 3
    assert len(rows_of(rt, signals)) == 1


def test_a_version_without_a_profile_is_measured_but_not_judged(world, watch):
    rt = world(LIVE + DAY)
    serve(rt, days=1)

    def none(version):
        raise DataInvalidError(f"version {version} has no profile")

    found = watch(rt, profiles=none)
    assert {verdict.outcome for verdict in found.verdicts} == {"inconclusive"}
    assert rows_of(rt, windows)[0]["rows"] == 400


def test_no_log_at_all(world, watch):
    found = watch(world(LIVE))
    assert (found.windows, found.signals, found.health) == ([], [], None)
