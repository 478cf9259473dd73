"""Loads the demo's data into the database `production`: history up to the episode's cut; the rest waits in the schema `future`.

First thing of the main job. One transaction, so a killed load leaves what was there; a second load gives the same tables.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import psycopg2
from sqlalchemy import URL, make_url

from include.demo.episodes import Episode
from include.demo.sources import MISSING, open_flights_table, open_visits
from include.lifecycle.errors import SourceUnavailableError
from include.settings import Settings

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812

_SQL = Path(__file__).parent / "sql"
OWNER, READER = "production", "production_reader"


@dataclass(frozen=True)
class LoadedData:
    """Rows in `production` after a load, and how long it took."""

    flights: int
    arrivals: int
    held_back: int
    visits: int
    seconds: float


def production_url(settings: Settings) -> URL:
    """The demo's production database, as its owner; libpq finds the password in the password file."""
    return make_url(settings.database_url).set(drivername="postgresql+psycopg2", username=OWNER, database="production", query={})


@contextmanager
def connect(url: URL, passfile: Path | None) -> Iterator[Connection]:
    """Yield a connection with one transaction around the block; raise SourceUnavailableError when the server does not answer."""
    where = f"{url.host}:{url.port}/{url.database}"
    given: dict[str, Any] = {"passfile": str(passfile)} if passfile else {}
    try:
        connection = psycopg2.connect(
            host=url.host, port=url.port, dbname=url.database, user=url.username, connect_timeout=5, **given
        )
    except psycopg2.OperationalError as problem:
        raise SourceUnavailableError(f"production database {where} did not answer: {str(problem).strip()}") from problem
    try:
        with connection:
            yield connection
    finally:
        connection.close()


def load_data(url: URL, passfile: Path | None, episode: Episode) -> LoadedData:
    """Make `production` what it was at the episode's cut; flights after it wait in schema `future`, which readers cannot see.

    Raises SourceUnavailableError when the database does not answer, SettingsError when a data package is missing.
    """
    started = time.monotonic()
    with connect(url, passfile) as connection, connection.cursor() as cursor:
        if not _exists(cursor, "source.flights"):
            _load_source(cursor)
        cursor.execute("DROP SCHEMA IF EXISTS future CASCADE; CREATE SCHEMA future")
        for schema in ("public", "future"):
            cursor.execute(f"SET LOCAL search_path TO {schema}")
            cursor.execute(_script("flights"))
        parameters = {"shift": episode.shift, "years": episode.number - 1, "cut": episode.cut}
        cursor.execute(_script("episode"), parameters)
        cursor.execute(_script("visits"), {})
        _grant(cursor)
        flights, arrivals, held_back, visits = (
            _count(cursor, table) for table in ("public.flights", "public.arrivals", "future.flights", "public.visits")
        )
    return LoadedData(flights, arrivals, held_back, visits, time.monotonic() - started)


def _load_source(cursor: Any) -> None:
    cursor.execute("DROP SCHEMA IF EXISTS source CASCADE")
    cursor.execute(_script("source"))
    for table in ("flights", "weather", "planes"):
        with open_flights_table(table) as stream:
            _copy(cursor, table, stream)
    with open_visits() as stream:
        _copy(cursor, "visits", stream)


def _copy(cursor: Any, table: str, stream: IO[bytes]) -> None:
    cursor.copy_expert(f"COPY source.{table} FROM STDIN WITH (FORMAT csv, HEADER true, NULL '{MISSING}')", stream)


def _grant(cursor: Any) -> None:
    """Let the reader see `public` only; a server without that role (a test's) needs no grant."""
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (READER,))
    if cursor.fetchone():
        cursor.execute(f"GRANT USAGE ON SCHEMA public TO {READER}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {READER}")


def _exists(cursor: Any, table: str) -> bool:
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (table,))
    return bool(cursor.fetchone()[0])


def _count(cursor: Any, table: str) -> int:
    cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 - the names above
    return int(cursor.fetchone()[0])


def _script(name: str) -> str:
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")
