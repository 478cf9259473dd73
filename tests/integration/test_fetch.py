"""fetch_data against a real PostgreSQL: the happy path, the cap, and each wrong input with its one clear error."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from sqlalchemy import URL

from include.lifecycle.data.fetch import fetch_data
from include.lifecycle.data.sampling import bucket_of
from include.lifecycle.errors import DataInvalidError, SourceQueryError, SourceUnavailableError
from include.lifecycle.results import FetchedData
from include.lifecycle.runtime import RunContext, Runtime
from include.stack.postgres import SUPERUSER, binaries
from tests.conftest import PostgresServer, free_port
from tests.integration.trips_source import QUERY, create_trips, run_sql, trips_order, write_query
from tests.unit.lifecycle.training.spec_for_tests import make_spec

pytestmark = pytest.mark.integration
RUN = RunContext("trips", "manual__2013-08-01T00:00:00+00:00", "fetch_data")
Fetch = Callable[..., FetchedData]


@pytest.fixture(scope="module")
def source(postgres: PostgresServer) -> URL:
    return create_trips(postgres, 3000)


@pytest.fixture
def local(make_runtime: Callable[..., Runtime], tmp_path: Path) -> Runtime:
    write_query(tmp_path)
    return make_runtime(MODELOPS_HOME=str(tmp_path))


@pytest.fixture
def fetch(local: Runtime, source: URL) -> Fetch:
    def run(url: URL = source, query: str | None = None, days: int = 182, **data: object) -> FetchedData:
        if query is not None:
            write_query(local.settings.home, query)
        return fetch_data(make_spec(data=data), local, RUN, trips_order(days=days), url)

    return run


def test_the_whole_window_in_the_types_of_training(fetch: Fetch):
    fetched = fetch()
    frame = pd.read_parquet(fetched.path)
    schema = {field.name: str(field.type) for field in pq.read_schema(fetched.path)}
    assert fetched.rows == fetched.rows_in_window == len(frame)
    assert schema == {
        "trip_id": "string",
        "starts_at": "timestamp[us, tz=UTC]",
        "distance": "double",
        "wind": "double",
        "carrier": "string",
        "hour": "string",
        "late": "int8",
        "note": "string",
    }
    assert frame["starts_at"].is_monotonic_increasing
    assert frame["starts_at"].min() >= datetime(2013, 2, 1, tzinfo=UTC)
    assert frame["wind"].isna().any()
    assert set(frame["late"]) == {0, 1}


def test_labels_known_after_as_of_stay_out(fetch: Fetch, local: Runtime, source: URL):
    order = trips_order(as_of=datetime(2013, 5, 1, tzinfo=UTC), days=60)
    fetched = fetch_data(make_spec(), local, RUN, order, source)
    newest = pd.read_parquet(fetched.path)["starts_at"].max()
    assert newest < datetime(2013, 4, 30, tzinfo=UTC)


def test_a_rerun_leaves_one_equal_file(fetch: Fetch):
    first = fetch()
    content = first.path.read_bytes()
    second = fetch()
    assert (second.path, second.path.read_bytes()) == (first.path, content)
    assert [path.name for path in first.path.parent.parent.iterdir()] == ["fetch_data"]
    assert [path.name for path in first.path.parent.iterdir()] == ["data.parquet"]


def test_over_the_cap_a_nested_hash_sample_of_the_whole_window(fetch: Fetch):
    large = fetch(max_rows=1000)
    keys = set(pd.read_parquet(large.path)["trip_id"])
    small = fetch(max_rows=600)
    frame = pd.read_parquet(small.path)
    assert large.rows_in_window > 2900
    assert 900 < large.rows <= 1000
    assert 550 < small.rows <= 600
    assert set(frame["trip_id"]) < keys
    # PostgreSQL's buckets are Python's
    threshold = max(map(bucket_of, keys))
    assert all(bucket_of(f"T{number}") > threshold for number in range(20, 2900) if f"T{number}" not in keys)
    assert frame["starts_at"].max() - frame["starts_at"].min() > pd.Timedelta(days=170)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (QUERY.replace("trips AS", "tripz AS"), r'relation "tripz" does not exist'),
        (QUERY.replace("t.wind", "t.wid"), r'column t\.wid does not exist.*HINT.*"t\.wind"'),
        (QUERY.replace("SELECT", "SELCT"), "syntax error"),
        (QUERY.replace("t.distance", "t.distance / 0 AS distance"), "division by zero"),
        (QUERY.replace("t.distance", "pg_read_file('/etc/hostname')::int AS distance, t.distance AS d"), "input syntax|denied"),
        (QUERY.replace(":window_end", ":window_stop"), r"does not use :window_end"),
    ],
)
def test_refused_queries_name_what_is_wrong(fetch: Fetch, query: str, message: str):
    with pytest.raises(
        SourceQueryError, match=rf"(?s)model trips, query trips/training\.sql, window 2013-01-31.*{message}"
    ) as caught:
        fetch(query=query)
    assert not caught.value.retryable


def test_a_query_cannot_write(fetch: Fetch, postgres: PostgresServer, source: URL):
    run_sql(postgres, source.database, "CREATE SEQUENCE s")
    with pytest.raises(SourceQueryError, match="read-only"):
        fetch(query="SELECT * FROM trips WHERE starts_at > :window_start AND starts_at < :window_end AND nextval('s') > 0")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (QUERY.replace("t.wind,", "t.wind AS winds,"), r"declared column 'wind'; did you mean 'winds'"),
        (QUERY.replace("t.trip_id", "t.trip_id, t.trip_id"), "returns column trip_id more than once"),
        (QUERY.replace("t.late", "NULL::bool AS late"), "target 'late' is null in all"),
        (QUERY.replace("t.late", "true AS late"), "target 'late' holds one class only"),
        (QUERY.replace("t.late", "0.5 AS late"), "column 'late' cannot become int8"),
        (QUERY.replace("t.late", "'yes' AS late"), "target 'late' must be numeric or boolean; the query returns"),
        (QUERY.replace("t.wind", "t.wind::text AS wind"), "numeric feature 'wind' must be numeric or boolean"),
        (QUERY.replace("t.starts_at,", "t.starts_at::text AS starts_at,"), "event time 'starts_at' must be a timestamp or date"),
    ],
)
def test_data_that_cannot_be_trained_on(fetch: Fetch, query: str, message: str, local: Runtime):
    with pytest.raises(DataInvalidError, match=message):
        fetch(query=query)
    assert not RUN.folder(local.storage).exists()


def test_an_empty_window_is_named(local: Runtime, source: URL):
    order = trips_order(as_of=datetime(2012, 8, 1, tzinfo=UTC))
    with pytest.raises(DataInvalidError, match=r"window 2012-02-01 00:00 to 2012-07-31 00:00 UTC: the query returns no rows"):
        fetch_data(make_spec(), local, RUN, order, source)


def test_a_date_serves_as_event_time_and_a_naive_timestamp_is_utc(fetch: Fetch):
    for cast in ("date", "timestamp"):
        fetched = fetch(query=QUERY.replace("t.starts_at,", f"t.starts_at::{cast} AS starts_at,"))
        assert str(pd.read_parquet(fetched.path)["starts_at"].dt.tz) == "UTC"


def test_a_dead_database_is_found_at_once(fetch: Fetch, source: URL):
    started = time.monotonic()
    with pytest.raises(SourceUnavailableError, match=r"does not answer at 127\.0\.0\.1") as caught:
        fetch(url=source.set(port=free_port()))
    assert time.monotonic() - started < 30, "it tried again"
    assert caught.value.retryable


def test_a_wrong_password_is_refused_and_never_shown(fetch: Fetch, source: URL):
    with pytest.raises(SourceQueryError, match="password authentication failed") as caught:
        fetch(url=source.set(password="not-this-one"))
    assert "not-this-one" not in str(caught.value)
    with pytest.raises(SourceQueryError, match="does not exist"):
        fetch(url=source.set(database="nowhere"))


def test_a_failing_fetch_keeps_the_earlier_file(fetch: Fetch, local: Runtime):
    before = fetch().path.read_bytes()
    with pytest.raises(DataInvalidError):
        fetch(query=QUERY.replace("t.late", "true AS late"))
    assert (RUN.folder(local.storage) / "data.parquet").read_bytes() == before
    assert not list(RUN.folder(local.storage).parent.glob(".*"))


def test_a_break_while_streaming_is_the_sources_error(postgres: PostgresServer, local: Runtime):
    url = create_trips(postgres, 500)
    run_sql(postgres, url.database, "CREATE FUNCTION bad(x int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1 / (x - 200)'")
    # counting does not compute the column, reading does: the stream breaks in the middle
    write_query(local.settings.home, QUERY.replace("t.distance,", "bad(substr(t.trip_id, 2)::int) AS distance,"))
    with pytest.raises(SourceQueryError, match=r"broke off.*division by zero") as caught:
        fetch_data(make_spec(), local, RUN, trips_order(), url)
    assert str(url.password) not in str(caught.value)
    assert not RUN.folder(local.storage).exists()


def test_a_connection_lost_while_streaming_may_be_tried_again(postgres: PostgresServer, local: Runtime):
    url = create_trips(postgres, 400)
    slow = "BEGIN PERFORM pg_sleep(0.02); RETURN x; END"
    run_sql(postgres, url.database, f"CREATE FUNCTION slow(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS '{slow}'")
    write_query(local.settings.home, QUERY.replace("t.distance,", "slow(t.distance) AS distance,"))
    end = f"SELECT pg_sleep(1.5); SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{url.database}'"
    # from another process: connectorx holds Python's lock while it waits for rows
    psql = [str(binaries() / "psql"), "-h", "127.0.0.1", "-p", str(postgres.port), "-U", SUPERUSER, "-d", "postgres", "-c", end]
    killer = subprocess.Popen(psql, env=os.environ | {"PGPASSFILE": str(postgres.passfile)}, stdout=subprocess.DEVNULL)
    with pytest.raises(SourceUnavailableError, match="broke off while rows were read"):
        fetch_data(make_spec(), local, RUN, trips_order(), url)
    assert killer.wait() == 0
    assert not RUN.folder(local.storage).exists()
