"""What fetch leaves out (immature labels, windows with a data fault), and that it loses no row that it counted."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import URL, insert

from include.lifecycle.data.fetch import fetch_data
from include.lifecycle.data.snapshot import snapshot_data
from include.lifecycle.data.source import DbApi
from include.lifecycle.database import transaction
from include.lifecycle.errors import DataInvalidError, SourceUnavailableError
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.tables import signals, windows
from tests.conftest import NOW, PostgresServer
from tests.integration.trips_source import QUERY, create_trips, run_sql, trips_order, write_query
from tests.unit.lifecycle.training.spec_for_tests import make_spec

pytestmark = pytest.mark.integration
RUN = RunContext("trips", "r1", "fetch_data")


@pytest.fixture(scope="module")
def source(postgres: PostgresServer) -> URL:
    return create_trips(postgres, 3000)


@pytest.fixture
def local(make_runtime: Callable[..., Runtime], tmp_path: Path) -> Runtime:
    write_query(tmp_path)
    return make_runtime(MODELOPS_HOME=str(tmp_path))


def day(month: int, number: int) -> datetime:
    return datetime(2013, month, number, tzinfo=UTC)


def times(path: Path) -> pd.Series:
    return pd.read_parquet(path)["starts_at"]


def test_immature_labels_stay_out_and_are_counted(local: Runtime, source: URL):
    order = trips_order(as_of=day(6, 1)).model_copy(update={"window_end": day(6, 1)})
    fetched = fetch_data(make_spec(), local, RUN, order, source)
    assert times(fetched.path).max() < day(5, 31)
    assert fetched.immature_rows == fetched.rows_in_window - fetched.rows > 0
    with pytest.raises(DataInvalidError, match=r"no row is left of .* with immature labels"):
        fetch_data(make_spec(labels={"mature_after": "200d"}), local, RUN, order, source)


def test_a_query_may_bind_the_cutoff_itself(local: Runtime, source: URL):
    write_query(local.settings.home, QUERY + " AND t.starts_at < :label_cutoff - interval '2 days'")
    order = trips_order(as_of=day(6, 1)).model_copy(update={"window_end": day(6, 1)})
    fetched = fetch_data(make_spec(), local, RUN, order, source)
    assert day(5, 28) < times(fetched.path).max() < day(5, 29)
    assert (fetched.immature_rows, fetched.rows) == (0, fetched.rows_in_window)


def measured(rt: Runtime, start: datetime, outcome: str, revision: int = 1, check: str = "data_fault:wind") -> int:
    verdicts = [{"check": check, "outcome": outcome, "reason": "", "evidence": {}}]
    row: dict[str, Any] = {"model": "trips", "version": 1, "window_start": start, "window_end": start + timedelta(days=1)}
    row |= {"revision": revision, "rows": 10, "mature_rows": 0, "measurements": {}, "verdicts": verdicts}
    with transaction(rt.engine) as connection:
        return int(connection.execute(insert(windows).values(row).returning(windows.c.id)).scalar_one())


def test_rows_of_faulted_windows_stay_out_and_the_windows_are_recorded(local: Runtime, source: URL):
    faulted = measured(local, day(4, 10), "fail")
    measured(local, day(4, 20), "fail")
    measured(local, day(4, 20), "pass", revision=2)  # measured again, and well
    measured(local, day(4, 25), "fail", check="covariate:wind")
    resent = measured(local, day(5, 1), "fail", check="data_fault:@rows")
    attacked = measured(local, day(5, 3), "fail", check="security:extraction")  # though its signal is over
    measured(local, day(5, 10), "fail", check="access:denied")  # who was refused changed nothing
    measured(local, day(5, 12), "fail", check="data_fault:altimeter")  # no feature (any more)
    measured(local, day(1, 2), "fail")  # before the training window
    secured = measured(local, day(5, 5), "pass")
    with transaction(local.engine) as connection:
        row = {"model": "trips", "kind": "security", "cause": "security:poison", "effect": 1.0, "severity": "critical"}
        seen = {"first_seen": day(5, 5), "last_seen": day(5, 6)}
        connection.execute(insert(signals).values(row | seen))
    fetched = fetch_data(make_spec(), local, RUN, trips_order(), source)
    found = times(fetched.path)
    assert fetched.excluded_windows == [faulted, resent, attacked, secured]
    assert not found.between(day(4, 10), day(4, 11), inclusive="left").any()
    assert not found.between(day(5, 5), day(5, 6), inclusive="left").any()
    assert not found.between(day(5, 1), day(5, 2), inclusive="left").any()
    assert not found.between(day(5, 3), day(5, 4), inclusive="left").any()
    assert found.between(day(5, 10), day(5, 11), inclusive="left").any()
    assert found.between(day(4, 20), day(4, 21), inclusive="left").any()
    assert fetched.excluded_rows == fetched.rows_in_window - fetched.rows > 10
    entry = local.ledger.read("trips", kind="training")[0]
    assert [window["id"] for window in entry["evidence"]["windows"]] == [faulted, resent, attacked, secured]
    assert entry["evidence"]["windows"][0]["reason"] == "data_fault:wind"
    assert snapshot_data(make_spec(), local, RUN, fetched).excluded_windows == [faulted, resent, attacked, secured]
    whole = fetch_data(make_spec(data={"exclude_faulted": False}), local, RUN, trips_order(), source)
    assert (whole.excluded_windows, whole.rows) == ([], whole.rows_in_window)
    fetch_data(make_spec(data={"exclude_faulted": False}), local, RUN, trips_order(), source)
    assert len(local.ledger.read("trips", kind="training")) == 2  # each outcome once


class _Rows:
    """A DB-API connection to rows in memory that loses some of what it counted, or counts more after reading."""

    def __init__(self, rows: list[tuple[Any, ...]], counts: list[int], lose: int = 0) -> None:
        self.rows, self.counts, self.lose = rows, counts, lose
        self.description: list[tuple[str, ...]] = []
        self.left: list[tuple[Any, ...]] = []

    def cursor(self) -> _Rows:
        return self

    def close(self) -> None:
        """Nothing is open."""

    def execute(self, statement: str) -> None:
        names = ["trip_id", "starts_at", "distance", "wind", "carrier", "hour", "late"]
        if "count(*)" in statement:
            self.description, self.left = [("n",)], [(self.counts.pop(0),)]
        else:
            self.description = [(name,) for name in names]
            self.left = [] if "1 = 0" in statement else self.rows[: len(self.rows) - self.lose]

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        batch, self.left = self.left[:size], self.left[size:]
        return batch


def rows_in_memory(count: int) -> list[tuple[Any, ...]]:
    return [(i, day(3, 1) + timedelta(minutes=i), 5, 1.5, "C1", "h1", i % 2) for i in range(count)]


def test_rows_that_are_lost_on_the_way_are_an_error_with_numbers(local: Runtime):
    database = _Rows(rows_in_memory(100), [100, 100], lose=3)
    with pytest.raises(SourceUnavailableError, match="100 rows were counted before reading and 100 after it; 97 were read"):
        fetch_data(make_spec(), local, RUN, trips_order(), DbApi(lambda: database, "rows"))
    assert not RUN.folder(local.storage).exists()


def test_rows_that_were_written_meanwhile_are_told(local: Runtime):
    database = _Rows(rows_in_memory(103), [100, 105])
    fetched = fetch_data(make_spec(), local, RUN, trips_order(), DbApi(lambda: database, "rows"))
    assert fetched.rows == 103
    assert fetched.notes == ["100 rows were counted before reading and 105 after it; 103 were read"]


def test_a_fetch_that_was_killed_and_run_again_leaves_one_file(local: Runtime, postgres: PostgresServer):
    url = create_trips(postgres, 300)
    slow = "BEGIN PERFORM pg_sleep(0.02); RETURN x; END"
    run_sql(postgres, url.database, f"CREATE FUNCTION slow(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS '{slow}'")
    write_query(local.settings.home, QUERY.replace("t.distance,", "slow(t.distance) AS distance,"))
    stage = RUN.folder(local.storage)
    child = os.fork()
    if child == 0:
        try:
            fetch_data(make_spec(), local, RUN, trips_order(), url)
        finally:
            os._exit(0)
    deadline = time.monotonic() + 30
    while not list(stage.parent.glob(".fetch_data.*.tmp")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert [path.name for path in stage.parent.iterdir()] != ["fetch_data"]
    write_query(local.settings.home)
    local.engine.dispose(close=False)
    fetched = fetch_data(make_spec(), local, RUN, trips_order(), url)
    assert [str(path.relative_to(stage.parent)) for path in stage.parent.rglob("*")] == ["fetch_data", "fetch_data/data.parquet"]
    assert fetched.rows == fetched.rows_in_window


def test_a_key_that_vanished_while_reading_leaves_nothing(local: Runtime, postgres: PostgresServer):
    url = create_trips(postgres, 50)
    run_sql(postgres, url.database, "DELETE FROM trips")
    with pytest.raises(DataInvalidError, match="returns no rows"):
        fetch_data(make_spec(), local, RUN, trips_order(), url)
    assert not RUN.folder(local.storage).exists()


assert NOW.tzinfo is UTC
