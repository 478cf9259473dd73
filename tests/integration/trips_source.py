"""A source database of synthetic trips for the data and training tests: a real table in the session's PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import URL, make_url

from include.lifecycle.results import TrainingOrder
from tests.conftest import NOW, PostgresServer

QUERY = """\
-- trips that had started by then; 'at 12:30' and 100% are no parameters
SELECT t.trip_id, t.starts_at, t.distance, t.wind, t.carrier, t.hour, t.late, 'at 12:30'::text AS note
FROM trips AS t
WHERE t.starts_at >= :window_start AND t.starts_at < :window_end AND t.known_at <= :as_of
  AND coalesce(t.carrier, '') NOT LIKE '100%'
"""

TABLE = """
CREATE TABLE trips AS
SELECT 'T' || i AS trip_id,
       timestamptz '2013-02-01 00:00+00' + i * interval '1 second' * (180 * 86400.0 / {rows}) AS starts_at,
       timestamptz '2013-02-01 00:00+00' + i * interval '1 second' * (180 * 86400.0 / {rows}) + interval '6 hours' AS known_at,
       (100 + random() * 2000)::int AS distance,
       CASE WHEN random() < 0.05 THEN NULL ELSE (random() * 30)::numeric(6, 2) END AS wind,
       CASE WHEN random() < 0.01 THEN NULL ELSE 'C' || (random() * 15)::int END AS carrier,
       (i % 24) AS hour,
       false AS late
FROM generate_series(0, {rows} - 1) AS i;
UPDATE trips SET late = random() < 0.1 + 0.4 * (hour > 15)::int + 0.01 * coalesce(wind, 0);
"""


def create_trips(postgres: PostgresServer, rows: int) -> URL:
    """A fresh database with `rows` trips from 2013-02-01 over 180 days, the same ones each time; its URL with password."""
    name = postgres.create_database()
    run_sql(postgres, name, f"SELECT setseed(0.5); {TABLE.format(rows=rows)}")
    return make_url(postgres.url(name, with_password=True))


def run_sql(postgres: PostgresServer, database: str | None, statement: str) -> None:
    connection = postgres.connect(str(database))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()


def write_query(home: Path, text: str = QUERY) -> None:
    """The model's SQL file below a home folder (`MODELOPS_HOME`)."""
    path = home / "include" / "sql" / "trips" / "training.sql"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def trips_order(as_of: datetime = NOW, days: int = 182) -> TrainingOrder:
    return TrainingOrder(
        model="trips",
        request_ids=[1],
        source="manual",
        reason="a test",
        as_of=as_of,
        window_start=as_of - timedelta(days=days),
        window_end=as_of - timedelta(days=1),
    )


assert NOW.tzinfo is UTC
