"""Flights that have not left yet, as requests; and their way into the production tables when their time comes.

replay.py calls both. Features come from the view that training.sql reads, so that a request and its later training row agree.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import URL

from include.demo.data import connect
from include.lifecycle.spec import ModelSpec

_HASH_SIZE = 2**32
# table, the time that brings a row, the newest such time that is there already
_BROUGHT = (
    ("weather", "hour", "hour"),
    ("flights", "scheduled_departure", "scheduled_departure"),
    ("arrivals", "known_at", "known_at"),
)


@dataclass(frozen=True)
class UpcomingFlight:
    """One flight: its key, its scheduled departure (event time), and its features in the order of `spec.features.all`."""

    key: str
    event_time: datetime
    features: tuple[Any, ...]


def in_sample(key: str, share: float) -> bool:
    """Whether a flight is among the `share` (0 to 1) that is sent: decided by its key alone, so always alike."""
    return zlib.crc32(key.encode()) < share * _HASH_SIZE


def upcoming_flights(spec: ModelSpec, url: URL, passfile: Path | None, start: datetime, end: datetime) -> list[UpcomingFlight]:
    """Flights with start <= scheduled departure < end that `production` does not show yet, in order of time.

    Raises SourceUnavailableError when the database does not answer.
    """
    columns = ", ".join([spec.data.key, spec.data.event_time, *spec.features.all])
    statement = f"SELECT {columns} FROM future.departures WHERE {spec.data.event_time} >= %s AND {spec.data.event_time} < %s ORDER BY 2, 1"  # noqa: E501, S608 - names come from a checked spec
    with connect(url, passfile) as connection, connection.cursor() as cursor:
        cursor.execute(statement, (start, end))
        return [UpcomingFlight(row[0], row[1], row[2:]) for row in cursor]


def bring_until(url: URL, passfile: Path | None, now: datetime) -> dict[str, int]:
    """Copy what has happened by `now` from `future` to `public`: weather, departures, and arrivals that are known. Rows by table.

    One transaction that goes on from the newest row that is there: a killed call is simply made again.
    """
    brought = {}
    with connect(url, passfile) as connection, connection.cursor() as cursor:
        for table, moment, newest in _BROUGHT:
            cursor.execute(
                f"INSERT INTO public.{table} SELECT * FROM future.{table} WHERE {moment} <= %s"  # noqa: S608 - the names above
                f" AND {moment} >= (SELECT coalesce(max({newest}), '-infinity') FROM public.{table}) ON CONFLICT DO NOTHING",
                (now,),
            )
            brought[table] = cursor.rowcount
    return brought


def request_body(spec: ModelSpec, flight: UpcomingFlight) -> bytes:
    """One row as an Open Inference v2 request; the key and the event time travel along and are logged, not fed."""
    kinds = [*("FP64" for _ in spec.features.numeric), *("BYTES" for _ in spec.features.categorical)]
    inputs = [_tensor(*column) for column in zip(spec.features.all, kinds, flight.features, strict=True)]
    inputs += [
        _tensor(spec.data.key, "BYTES", flight.key),
        _tensor(spec.data.event_time, "BYTES", flight.event_time.isoformat()),
    ]
    return orjson.dumps({"inputs": inputs})


def _tensor(name: str, datatype: str, value: Any) -> dict[str, Any]:
    return {"name": name, "shape": [1], "datatype": datatype, "data": [value]}
