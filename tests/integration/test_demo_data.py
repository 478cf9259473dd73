"""The demo's data in a real PostgreSQL: what is history, what is held back, and that nothing leaks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pandas as pd
import psycopg2
import pytest

from include.demo.data import connect, load_data
from include.demo.episodes import Episode
from include.demo.flights import bring_until
from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.loading import load_model
from include.settings import load_settings
from tests.conftest import PostgresServer
from tests.integration.demo_production import Production, create_production

CUT = Episode(1).cut
DAY = timedelta(days=1)
LEAKS = {"dep_time", "dep_delay", "arr_time", "air_time", "arr_delay", "arrival_delay", "known_at"}


@pytest.fixture(scope="module")
def production(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    yield create_production(postgres, tmp_path_factory.mktemp("production"))


def test_loads_history_and_holds_the_future_back(production: Production):
    loaded = production.loaded
    assert loaded.flights + loaded.held_back == 336_776
    assert loaded.visits == 19_609
    assert 195_000 < loaded.arrivals < loaded.flights
    newest = production.frame("SELECT max(scheduled_departure) AS leaves FROM flights")["leaves"][0]
    known = production.frame("SELECT max(known_at) AS known FROM arrivals")["known"][0]
    assert newest < CUT
    assert known <= CUT


def test_second_load_gives_the_same(production: Production):
    before = production.frame("SELECT md5(string_agg(flights::text, '' ORDER BY flight_id)) AS digest FROM flights")
    again = load_data(production.url, production.passfile, Episode(1))
    after = production.frame("SELECT md5(string_agg(flights::text, '' ORDER BY flight_id)) AS digest FROM flights")
    assert before.equals(after)
    assert (again.flights, again.arrivals, again.held_back) == (
        production.loaded.flights,
        production.loaded.arrivals,
        production.loaded.held_back,
    )


def test_reader_sees_no_future_and_writes_nothing(production: Production):
    url = production.url.set(username="production_reader")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), connect(url, production.passfile) as connection:
        connection.cursor().execute("SELECT 1 FROM future.flights")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), connect(url, production.passfile) as connection:
        connection.cursor().execute("DELETE FROM flights")


def test_training_query_returns_what_the_yaml_names_and_no_leak(production: Production):
    spec = load_model("flight_delay", settings=load_settings({}))
    rows = production.query("flight_delay", "training", CUT - spec.data.window, CUT - DAY, CUT)
    assert set(rows.columns) == {spec.data.key, spec.data.event_time, spec.data.target, *spec.features.all}
    assert not LEAKS & set(rows.columns)
    assert rows[spec.data.key].is_unique
    assert 150_000 < len(rows) < 180_000
    assert 0.2 < rows[spec.data.target].mean() < 0.35
    assert all(pd.api.types.is_float_dtype(rows[name]) for name in spec.features.numeric)
    assert all(rows[name].map(type).eq(str).all() for name in spec.features.categorical)


def test_no_feature_of_a_flight_changes_once_it_has_left(production: Production):
    """What is known before departure is all that the features are made of: the outcome table does not touch them."""
    columns = production.frame(
        "SELECT column_name FROM information_schema.view_column_usage WHERE view_name = 'departures' AND table_name = 'arrivals'"
    )
    assert columns.empty


def test_labels_respect_what_was_known(production: Production):
    start, end = CUT - 3 * DAY, CUT
    late = production.query("flight_delay", "labels", start, end, CUT)
    early = production.query("flight_delay", "labels", start, end, CUT - DAY)
    assert list(late.columns) == ["key", "event_time", "label", "known_at"]
    assert 0 < len(early) < len(late)
    assert (early["known_at"] <= CUT - DAY).all()
    assert (late["known_at"] > late["event_time"]).all()
    assert set(late["label"]) == {0, 1}


def test_cancelled_flights_never_get_a_label(production: Production):
    rows = production.frame(
        "SELECT count(*) FILTER (WHERE arr_delay IS NULL) AS without, count(*) AS flights FROM source.flights"
    ).iloc[0]
    labelled = production.frame("SELECT (SELECT count(*) FROM arrivals) + (SELECT count(*) FROM future.arrivals) AS rows")[
        "rows"
    ][0]
    assert rows["without"] > 5_000
    assert labelled == rows["flights"] - rows["without"]


def test_health_visits_query_fits_its_yaml(production: Production):
    spec = load_model("health_visits", settings=load_settings({}))
    as_of = datetime(2013, 8, 15, tzinfo=UTC)
    rows = production.query("health_visits", "training", as_of - spec.data.window, as_of, as_of)
    wanted = {spec.data.key, spec.data.event_time, spec.data.target, *spec.features.all, *spec.evaluation.fairness.attributes}
    assert set(rows.columns) == wanted
    assert len(rows) == 19_609
    assert rows[spec.data.key].is_unique
    assert set(rows["interviewed_at"].dt.year) == {1984, 1985, 1986, 1987, 1988}


def test_what_is_brought_is_never_brought_twice(production: Production):
    now = CUT + timedelta(hours=20)
    first = bring_until(production.url, production.passfile, now)
    again = bring_until(production.url, production.passfile, now)
    assert first["flights"] > 500
    assert first["arrivals"] > 200
    assert set(again.values()) == {0}
    flights = production.frame("SELECT count(*) AS n, max(scheduled_departure) AS leaves FROM flights").iloc[0]
    assert flights["n"] == production.loaded.flights + first["flights"]
    assert flights["leaves"] <= now


def test_later_episode_is_the_same_year_moved_on(production: Production):
    load_data(production.url, production.passfile, Episode(3))
    moved = production.frame("SELECT min(scheduled_departure) AS first, max(scheduled_departure) AS last FROM flights").iloc[0]
    assert moved["first"].date() == (datetime(2013, 1, 1) + Episode(3).shift).date()  # noqa: DTZ001 - a date
    assert moved["last"] < Episode(3).cut
    ages = production.frame("SELECT avg(plane_age) AS age, count(DISTINCT hour) AS hours FROM departures").iloc[0]
    assert 10 < ages["age"] < 13
    assert ages["hours"] < 24


def test_dead_database_is_named(production: Production):
    with pytest.raises(SourceUnavailableError, match=r"127\.0\.0\.1:1/production"):
        load_data(production.url.set(port=1), production.passfile, Episode(1))
