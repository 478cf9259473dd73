"""Features looked up while fetching from a real PostgreSQL: equal to its own as-of join, and each wrong table named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from sqlalchemy import URL, create_engine, text

from include.lifecycle.data.fetch import WINDOW_START, fetch_data
from include.lifecycle.errors import DataInvalidError, SourceQueryError
from include.lifecycle.results import FetchedData
from include.lifecycle.runtime import RunContext, Runtime
from tests.conftest import PostgresServer
from tests.integration.trips_source import create_trips, run_sql, trips_order, write_query
from tests.unit.lifecycle.training.spec_for_tests import make_spec

pytestmark = pytest.mark.integration
RUN = RunContext("trips", "r1", "fetch_data")
STORE = {"table": "fares", "entity": "carrier", "event_time": "valid_from", "columns": ["fare", "kind"], "max_age": "20d"}
FARES = """
CREATE TABLE fares AS SELECT 'C' || (i % 16) AS carrier, timestamptz '2013-01-01' + random() * interval '220 days' AS valid_from,
  (random() * 100)::numeric(8, 2) AS fare, CASE WHEN random() < 0.2 THEN NULL ELSE 'k' || i % 5 END AS kind, i AS wind
FROM generate_series(1, 400) AS i
"""
REFERENCE = """
SELECT t.trip_id, f.fare::float8 AS fare, f.kind FROM trips t LEFT JOIN LATERAL (
  SELECT fare, kind FROM fares f WHERE f.carrier = t.carrier AND f.valid_from <= t.starts_at
  AND f.valid_from >= t.starts_at - interval '20 days' ORDER BY f.valid_from DESC LIMIT 1) f ON true
"""


@pytest.fixture(scope="module")
def source(postgres: PostgresServer) -> URL:
    url = create_trips(postgres, 3000)
    run_sql(postgres, url.database, f"SELECT setseed(0.3); {FARES}")
    return url


@pytest.fixture
def fetch(make_runtime: Callable[..., Runtime], tmp_path: Path, source: URL) -> Callable[..., FetchedData]:
    write_query(tmp_path)
    local = make_runtime(MODELOPS_HOME=str(tmp_path))

    def run(*stores: dict[str, Any], **data: Any) -> FetchedData:
        features = {"numeric": ["distance", "wind", "fare"], "categorical": ["carrier", "hour", "kind"], "store": list(stores)}
        return fetch_data(make_spec(features=features, data=data), local, RUN, trips_order(), source)

    return run


def test_the_join_equals_the_databases_own(fetch: Callable[..., FetchedData], source: URL):
    fetched = fetch(STORE)
    frame = pd.read_parquet(fetched.path).set_index("trip_id")
    with create_engine(source).connect() as connection:
        wanted = pd.read_sql(text(REFERENCE), connection).set_index("trip_id").loc[frame.index]
    pd.testing.assert_series_equal(frame["fare"], wanted["fare"])
    assert frame["kind"].fillna("").tolist() == wanted["kind"].fillna("").tolist()
    assert frame["fare"].isna().any()
    assert frame["fare"].notna().mean() > 0.5
    assert fetched.columns[-2:] == ["fare", "kind"]
    schema = pq.read_schema(fetched.path)
    assert (str(schema.field("fare").type), str(schema.field("starts_at").type)) == ("double", "timestamp[us, tz=UTC]")
    assert WINDOW_START in schema.metadata
    assert frame["starts_at"].is_monotonic_increasing
    assert [path.name for path in fetched.path.parent.iterdir()] == ["data.parquet"]
    again = fetched.path.read_bytes()
    assert fetch(STORE).path.read_bytes() == again


def test_a_query_of_ones_own_and_two_stores(fetch: Callable[..., FetchedData], tmp_path: Path):
    query = "SELECT carrier, valid_from, fare, kind FROM fares WHERE valid_from >= :window_start AND valid_from < :window_end"
    (tmp_path / "include/sql/trips/fares.sql").write_text(query)
    whole = pd.read_parquet(fetch(STORE).path)
    one, two = STORE | {"columns": ["fare"], "table": "trips/fares.sql"}, STORE | {"columns": ["kind"]}
    pd.testing.assert_frame_equal(pd.read_parquet(fetch(one, two).path), whole)


@pytest.mark.parametrize(
    ("store", "message"),
    [
        (STORE | {"table": "fairs"}, "fairs"),
        (STORE | {"table": "fares.nope"}, "nope"),
        (STORE | {"columns": ["fare", "kind", "price"]}, "price"),
        (STORE | {"entity": "airline"}, "the query does not return 'airline', by which features.store fares is joined"),
        (STORE | {"columns": ["fare", "kind", "wind"]}, "returns column wind more than once"),
        (STORE | {"event_time": "fare"}, "features.store fares: .*operator does not exist: numeric >= timestamp"),
    ],
)
def test_a_store_that_cannot_be_read_is_named(fetch: Callable[..., FetchedData], store: dict[str, Any], message: str):
    with pytest.raises((DataInvalidError, SourceQueryError), match=message):
        fetch(store)
