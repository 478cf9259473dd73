"""True outcomes: fetched by the model's labels query, kept when mature, joined to predictions on (key, event time)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import URL, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from include.lifecycle.data.sql import read_query
from include.lifecycle.errors import SourceQueryError, SourceUnavailableError
from include.lifecycle.monitoring.predictions import Objects, Predictions, Times, microseconds

if TYPE_CHECKING:
    from pathlib import Path

    import pandas

    from include.lifecycle.spec import ModelSpec

Floats = NDArray[np.float64]
COLUMNS = ("key", "event_time", "label", "known_at")


@dataclass(frozen=True, eq=False)
class Labels:
    """Mature labels, one per (key, event time), as the key of `positions`: (text key, microseconds) -> place in `values`."""

    positions: dict[tuple[str, int], int]
    values: Floats

    def match(self, keys: Objects, times: Times) -> Floats:
        """Label of each (key, event time), NaN where none is mature."""
        places = [self.positions.get((key, time), -1) for key, time in zip(keys, times.tolist(), strict=True)]
        return np.append(self.values, np.nan)[np.array(places, dtype=np.int64)]


@dataclass(frozen=True, eq=False)
class Labelled:
    """Predictions that have a mature label: `labels`, `values` and `times` (microseconds), all (m,); `coverage` = m / rows."""

    labels: Floats
    values: Floats
    times: Times
    coverage: float


def fetch_labels(spec: ModelSpec, sql_dir: Path, url: URL, start: datetime, end: datetime, as_of: datetime) -> Labels:
    """Run the labels query over event time [start, end) as known at `as_of`, and keep what is mature.

    Raises:
        SourceUnavailableError: the database did not answer (retryable).
        SourceQueryError: it refused the query, or a column is missing.
    """
    import pandas

    query = text(read_query(sql_dir, spec.labels.query, model=spec.name))
    given: dict[str, Any] = {"window_start": start, "window_end": end, "as_of": as_of}
    bound = {name: value for name, value in given.items() if name in query.compile().params}
    options = {"connect_timeout": 5, "options": "-c timezone=UTC -c default_transaction_read_only=on"}
    postgres = url.get_backend_name() == "postgresql"
    engine = create_engine(url, poolclass=NullPool, connect_args=options if postgres else {})
    where = f"labels of {spec.name} ({spec.labels.query})"
    try:
        with engine.connect() as connection:
            found = connection.execute(query, bound)
            # as objects: beside a null, whole-number keys would become floats and join with nothing
            frame = pandas.DataFrame(found.fetchall(), columns=list(found.keys()), dtype=object)
    except OperationalError as problem:
        raise SourceUnavailableError(f"{where}: the database did not answer: {str(problem.orig).strip()}") from None
    except DBAPIError as problem:
        raise SourceQueryError(f"{where}: the database refused the query: {str(problem.orig).strip()}") from None
    if missing := [name for name in COLUMNS if name not in frame]:
        raise SourceQueryError(f"{where}: column {', '.join(missing)} is missing; the query must return {', '.join(COLUMNS)}")
    return mature_labels(frame, as_of, microseconds(as_of) - round(spec.labels.mature_after.total_seconds() * 1e6))


def mature_labels(frame: pandas.DataFrame, as_of: datetime, newest_event: int) -> Labels:
    """From a table with COLUMNS: known by `as_of`, event not after `newest_event` (microseconds); the newest `known_at` wins.

    A row without a key labels nothing.
    """
    import pandas

    frame = frame[frame["key"].notna()]
    if frame.empty:
        return Labels({}, np.empty(0))
    events = pandas.to_datetime(frame["event_time"], utc=True).dt.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64)
    known = pandas.to_datetime(frame["known_at"], utc=True)
    values = pandas.to_numeric(frame["label"], errors="coerce")
    plain = pandas.DataFrame({"key": frame["key"].astype(str), "at": events, "value": values.astype(float), "known": known})
    plain = plain[(plain["known"] <= as_of) & (plain["at"] <= newest_event) & plain["value"].notna()]
    newest = plain.sort_values("known", kind="stable").drop_duplicates(["key", "at"], keep="last")
    pairs = zip(newest["key"].tolist(), newest["at"].tolist(), strict=True)
    return Labels({pair: place for place, pair in enumerate(pairs)}, newest["value"].to_numpy(np.float64))


def labelled_predictions(predictions: Predictions, labels: Labels) -> Labelled:
    """The part of `predictions` whose outcome is known and mature."""
    found = labels.match(predictions.keys, predictions.times)
    some = np.isfinite(found) & np.isfinite(predictions.values)
    share = float(some.mean()) if some.size else 0.0
    return Labelled(found[some], predictions.values[some], predictions.times[some], share)
