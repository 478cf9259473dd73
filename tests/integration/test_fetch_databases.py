"""fetch_data and labels from SQLite, MariaDB and any DB-API connection: one table, the same rows, types and samples."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from sqlalchemy import URL

from include.lifecycle.data.fetch import fetch_data
from include.lifecycle.data.sampling import bucket_of
from include.lifecycle.data.source import DbApi
from include.lifecycle.errors import DataInvalidError, SourceQueryError, SourceUnavailableError
from include.lifecycle.monitoring.labels import fetch_labels
from include.lifecycle.results import FetchedData
from include.lifecycle.runtime import RunContext, Runtime
from tests.conftest import NOW, free_port
from tests.integration.mariadb import MariaDb, mariadb_server
from tests.integration.trips_source import trips_order, write_query
from tests.unit.lifecycle.training.spec_for_tests import make_spec

pytestmark = pytest.mark.integration
RUN = RunContext("trips", "r1", "fetch_data")
ROWS = 2000
QUERY = """\
SELECT t.trip_id, t.starts_at, t.distance, t.wind, t.carrier, t.hour, t.late FROM trips AS t -- 'at 12:30', 100%
WHERE t.starts_at >= :window_start AND t.starts_at < :window_end AND t.known_at <= :as_of"""
LABELS = """\
SELECT trip_id AS `key`, starts_at AS event_time, late AS label, known_at FROM trips
WHERE starts_at >= :window_start AND starts_at < :window_end AND known_at <= :as_of"""


def rows() -> list[tuple[object, ...]]:
    """Trips over 180 days, the same each time; the first thousand have no wind, some none at all."""
    start = datetime(2013, 2, 1)  # noqa: DTZ001 - a column without a zone
    made: list[tuple[object, ...]] = []
    for i in range(ROWS):
        at = start + timedelta(seconds=i * 180 * 86400 / ROWS)
        wind = None if i < ROWS // 2 else (i % 40 if i % 3 else i % 40 + 0.5)
        known = at + timedelta(hours=6)
        made.append(
            (i, f"{at:%Y-%m-%d %H:%M:%S}", f"{known:%Y-%m-%d %H:%M:%S}", 100 + i % 900, wind, f"C{i % 7}", i % 24, i % 5 == 0)
        )
    return made


COLUMNS = (
    "trip_id integer primary key, starts_at {time}, known_at {time}, distance integer, wind {real}, carrier {text}, "
    "hour integer, late {flag}"
)


@pytest.fixture(scope="module")
def sqlite_url(tmp_path_factory: pytest.TempPathFactory) -> URL:
    path = tmp_path_factory.mktemp("sqlite") / "trips of 2013.db"
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE trips ({COLUMNS.format(time='text', real='numeric', text='text', flag='boolean')})")
        connection.executemany("INSERT INTO trips VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows())
    return URL.create("sqlite", database=str(path))


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDb]:
    with mariadb_server() as server:
        columns = COLUMNS.format(time="datetime(6)", real="decimal(6,2)", text="varchar(5)", flag="tinyint(1)")
        values = ",".join(str(tuple("NULL" if v is None else v for v in row)).replace("'NULL'", "NULL") for row in rows())
        server.run(f"USE production; CREATE TABLE trips ({columns}); INSERT INTO trips VALUES {values};")
        yield server


@pytest.fixture
def local(make_runtime: Callable[..., Runtime], tmp_path: Path) -> Runtime:
    write_query(tmp_path, QUERY)
    (tmp_path / "include/sql/trips/labels.sql").write_text(LABELS)
    return make_runtime(MODELOPS_HOME=str(tmp_path))


@pytest.fixture(params=["sqlite", "mariadb", "dbapi"])
def database(request: pytest.FixtureRequest) -> URL | DbApi:
    if request.param == "mariadb":
        return request.getfixturevalue("mariadb").url
    url = request.getfixturevalue("sqlite_url")
    return url if request.param == "sqlite" else DbApi(lambda: sqlite3.connect(url.database), "any trips_db", "sqlite")


def fetch(local: Runtime, database: URL | DbApi, **data: object) -> FetchedData:
    return fetch_data(make_spec(data=data), local, RUN, trips_order(), database)


def test_the_same_rows_and_types_from_every_database(local: Runtime, database: URL | DbApi):
    fetched = fetch(local, database)
    frame, wanted = pd.read_parquet(fetched.path), pd.DataFrame(rows())
    assert {field.name: str(field.type) for field in pq.read_schema(fetched.path)} == {
        "trip_id": "string",
        "starts_at": "timestamp[us, tz=UTC]",
        "distance": "double",
        "wind": "double",
        "carrier": "string",
        "hour": "string",
        "late": "int8",
    }
    assert fetched.rows == fetched.rows_in_window == len(frame)
    assert frame["trip_id"].astype(int).tolist() == list(range(ROWS))[: len(frame)]
    assert frame["starts_at"].tolist() == pd.to_datetime(wanted[1], utc=True).tolist()[: len(frame)]
    assert frame["wind"].fillna(-1).tolist() == wanted[4].astype(float).fillna(-1).tolist()[: len(frame)]
    assert frame["late"].tolist() == wanted[7].astype(int).tolist()[: len(frame)]
    assert fetched.notes == ["starts_at names no time zone; it was read as UTC"]
    entry = local.ledger.read("trips", kind="training")[0]
    assert entry["evidence"]["rows"] == len(frame)
    assert entry["evidence"]["notes"] == fetched.notes


def test_equal_samples_of_equal_keys(local: Runtime, database: URL | DbApi):
    large, small = fetch(local, database, max_rows=700), fetch(local, database, max_rows=700)
    keys = set(pd.read_parquet(small.path)["trip_id"])
    assert large.rows == small.rows
    assert 600 < small.rows <= 700
    threshold = max(map(bucket_of, keys))
    assert keys == {str(i) for i in range(small.rows_in_window) if bucket_of(str(i)) <= threshold}


def test_labels_come_from_every_database(local: Runtime, database: URL | DbApi):
    span = datetime(2013, 3, 1, tzinfo=UTC), datetime(2013, 3, 8, tzinfo=UTC)
    if isinstance(database, URL) and database.get_backend_name() == "sqlite":
        (local.settings.sql_dir / "trips/labels.sql").write_text(LABELS.replace("`", '"'))
    found = fetch_labels(make_spec(), local.settings, database, *span, NOW)
    wanted = [row for row in rows() if "2013-03-01" <= str(row[1]) < "2013-03-08"]
    assert sorted(key for key, _ in found.positions) == sorted(str(row[0]) for row in wanted)
    assert sum(found.values) == sum(bool(row[7]) for row in wanted)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (QUERY.replace("trips AS", "tripz AS"), "refused the query: .*tripz"),
        (QUERY.replace("SELECT", "SELCT"), "refused the query: .*syntax"),
        (QUERY.replace("t.wind", "t.wid"), "refused the query: .*wid"),
        (QUERY.replace(":window_end", ":window_stop"), "does not use :window_end"),
    ],
)
def test_refused_queries_name_what_is_wrong(local: Runtime, database: URL | DbApi, query: str, message: str):
    write_query(local.settings.home, query)
    with pytest.raises(SourceQueryError, match=f"(?s)model trips, query trips/training.sql.*{message}"):
        fetch(local, database)


def test_a_query_cannot_write(local: Runtime, sqlite_url: URL, mariadb: MariaDb):
    for database in (sqlite_url, mariadb.url):
        write_query(local.settings.home, "DELETE FROM trips WHERE :window_start < :window_end")
        with pytest.raises(SourceQueryError):
            fetch(local, database)


STORE = {"table": "fares", "entity": "carrier", "event_time": "valid_from", "columns": ["fare"], "max_age": "400d"}


def test_a_feature_store_beside_any_query(local: Runtime, sqlite_url: URL, mariadb: MariaDb, tmp_path: Path):
    """Values that begin with nulls, whole and broken numbers; a zoned TIMESTAMP in MariaDB, whose server is three hours ahead."""
    fares = [("C1", f"2013-02-{day:02} 12:00:00", None if day < 5 else day if day % 2 else day + 0.5) for day in range(1, 29)]
    copy = tmp_path / "trips.db"
    shutil.copy(str(sqlite_url.database), copy)
    with sqlite3.connect(copy) as connection:
        connection.execute("CREATE TABLE fares (carrier text, valid_from text, fare)")
        connection.executemany("INSERT INTO fares VALUES (?, ?, ?)", fares)
    values = ", ".join(f"('{who}', '{at}', {'NULL' if fare is None else fare})" for who, at, fare in fares)
    mariadb.run(
        "USE production; SET time_zone = '+00:00'; "
        "CREATE TABLE fares (carrier varchar(5), valid_from timestamp, fare decimal(6,2)); "
        f"INSERT INTO fares VALUES {values};"
    )
    features = {"numeric": ["distance", "wind", "fare"], "categorical": ["carrier", "hour"], "store": [STORE]}
    for database in (URL.create("sqlite", database=str(copy)), mariadb.url):
        fetched = fetch_data(make_spec(features=features), local, RUN, trips_order(), database)
        frame = pd.read_parquet(fetched.path)
        known = pd.DataFrame(fares, columns=["carrier", "valid_from", "fare"])
        known["valid_from"] = pd.to_datetime(known["valid_from"], utc=True).astype("datetime64[us, UTC]")
        wanted = pd.merge_asof(
            frame.drop(columns="fare"),
            known,
            left_on="starts_at",
            right_on="valid_from",
            by="carrier",
            tolerance=pd.Timedelta("400d"),
        )
        assert frame["fare"].astype(float).fillna(-1).tolist() == wanted["fare"].astype(float).fillna(-1).tolist()
        assert frame["fare"].notna().sum() > 200


def test_what_is_not_there_is_found_at_once(local: Runtime, sqlite_url: URL, mariadb: MariaDb):
    started = time.monotonic()
    with pytest.raises(SourceUnavailableError, match="does not exist"):
        fetch(local, sqlite_url.set(database="/nowhere/trips.db"))
    with pytest.raises(SourceUnavailableError, match="does not answer at 127"):
        fetch(local, mariadb.url.set(port=free_port()))
    assert time.monotonic() - started < 30, "it tried again"


def test_a_column_of_mixed_types_is_named(local: Runtime, tmp_path: Path):
    path = tmp_path / "mixed.db"
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE trips ({COLUMNS.format(time='text', real='numeric', text='text', flag='boolean')})")
        connection.executemany("INSERT INTO trips VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows())
        connection.execute("UPDATE trips SET wind = 'strong' WHERE trip_id = 1500")
    with pytest.raises(DataInvalidError, match=r"column 'wind' mixes .*str.*cast it in the query"):
        fetch(local, URL.create("sqlite", database=str(path)))


def test_a_time_that_is_none_is_named(local: Runtime, sqlite_url: URL):
    write_query(local.settings.home, QUERY.replace("t.starts_at,", "'yesterday' AS starts_at,", 1))
    with pytest.raises(DataInvalidError, match="event time 'starts_at' is not all ISO 8601"):
        fetch(local, sqlite_url)
    write_query(local.settings.home, QUERY.replace("t.starts_at,", "unixepoch(t.starts_at) AS starts_at,", 1))
    with pytest.raises(DataInvalidError, match="event time 'starts_at' must be a timestamp or date"):
        fetch(local, sqlite_url)
