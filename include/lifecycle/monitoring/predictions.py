"""Reads the prediction log for monitoring: a range of event time once, then one window and version at a time, as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.monitoring.log_folder import remote_of
from include.lifecycle.monitoring.security.access import AccessReader
from include.lifecycle.monitoring.windows import Window, microseconds
from include.serving.log_schema import feature_column, feature_types, quoted, range_relation
from include.settings import Settings, settings

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

    from include.lifecycle.monitoring.counting.counts import WindowCounts
    from include.lifecycle.spec import ModelSpec

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
Objects = NDArray[np.object_]


@dataclass(frozen=True, eq=False)
class Predictions:
    """One version's rows in one window: `times` in microseconds since 1970, `keys` (None where the client gave none),
    `values` = predictions, `latencies` in ms, and each feature as logged (numbers with NaN, or text with None); all (n,).
    Multiclass: `values` are class numbers, `probabilities` (n, classes) with NaN where the log has none.
    `counts`: the whole window, counted; where it is there, drift is measured on it. `of_rows`: how many rows the window has when
    these are a random sample of it. `clients`: whose API key each request carried (None where none); `logged`: wall time of each
    answer, in microseconds; `access`: requests and refusals beside the log."""

    version: int
    window: Window
    times: Times
    keys: Objects
    values: Floats
    latencies: Floats
    features: dict[str, NDArray[Any]]
    probabilities: Floats | None = None
    counts: WindowCounts | None = None
    of_rows: int | None = None
    clients: Objects | None = None
    logged: Times | None = None
    access: AccessReader | None = None

    @property
    def scores(self) -> Floats:
        """What metrics judge: `values` (n,), or `probabilities` (n, classes) where there are any."""
        return self.values if self.probabilities is None else self.probabilities

    @property
    def rows(self) -> int:
        """Number of predictions held here."""
        return int(self.values.size)

    @property
    def total(self) -> int:
        """Number of predictions in the window, whether they are all held here or not."""
        return self.rows if self.of_rows is None else self.of_rows


@dataclass(frozen=True)
class PredictionLog:
    """A range of the log, read once into DuckDB."""

    connection: duckdb.DuckDBPyConnection
    spec: ModelSpec
    access: AccessReader | None = None

    def identities(self) -> tuple[NDArray[np.int64], Times, Objects]:
        """Version, event time (microseconds) and key of each row in the range."""
        found = self._fetch("SELECT model_version, epoch_us(event_time) AS at, key FROM log", [])
        return found["model_version"].astype(np.int64), found["at"].astype(np.int64), _texts(found["key"])

    def read(self, version: int, window: Window, share: float = 1.0) -> Predictions:
        """All rows that `version` answered in `window`, or a share of the requests, in order of event time."""
        named = [f"{quoted(feature_column(name))} AS {quoted('f_' + name)}" for name in self.spec.features.all]
        classes = self.spec.objective.classes
        plain = ["epoch_us(event_time) AS at", "epoch_us(logged_at) AS logged", "client", "key", "prediction", "latency_ms"]
        columns = ", ".join([*plain, *(["probabilities"] if classes else []), *named])
        query = (
            f"SELECT {columns} FROM log WHERE model_version = ? AND epoch_us(event_time) >= ? AND epoch_us(event_time) < ? "  # noqa: S608 - quoted
            f"{'' if share >= 1 else 'AND ' + _part_of(share)} ORDER BY event_time, request_id, row"
        )
        found = self._fetch(query, [version, microseconds(window.start), microseconds(window.end)])
        numeric = {name: _floats(found.pop(f"f_{name}")) for name in self.spec.features.numeric}
        texts = {name: _shared(_texts(found.pop(f"f_{name}"))) for name in self.spec.features.categorical}
        return Predictions(
            version=version,
            window=window,
            times=found["at"].astype(np.int64),
            keys=_texts(found["key"]),
            values=_floats(found["prediction"]),
            latencies=_floats(found["latency_ms"]),
            features=numeric | texts,
            probabilities=_lists(found["probabilities"], len(classes)) if classes else None,
            clients=_texts(found["client"]),
            access=self.access,
            logged=np.ma.filled(found["logged"], 0).astype(np.int64),
        )

    def versions(self) -> list[int]:
        """Versions that answered in the range."""
        found = self._fetch("SELECT DISTINCT model_version FROM log ORDER BY 1", [])
        return [int(version) for version in found["model_version"]]

    def rows_of(self, version: int) -> int:
        """Rows of a version in the range."""
        return int(self._fetch("SELECT count(*) AS n FROM log WHERE model_version = ?", [version])["n"][0])

    def numbers_of(self, version: int, column: str) -> Floats:
        """One numeric column of a version's rows in the range, in any order, NaN where it is null."""
        query = f"SELECT {quoted(column)} AS value FROM log WHERE model_version = ?"  # noqa: S608 - quoted
        return _floats(self._fetch(query, [version])["value"])

    def categories_of(self, version: int, column: str) -> dict[str | None, int]:
        """How many rows of a version in the range have each text, or None."""
        query = f"SELECT {quoted(column)} AS value, count(*) AS n FROM log WHERE model_version = ? GROUP BY 1"  # noqa: S608 - quoted
        found = self._fetch(query, [version])
        return dict(zip(_texts(found["value"]).tolist(), found["n"].tolist(), strict=True))

    def logged_between(self, version: int, window: Window) -> tuple[float, float]:
        """Wall time (epoch seconds) of the first and the last row that `version` logged in `window`; zeros without a row."""
        found = self._fetch(
            "SELECT epoch(min(logged_at)) AS first, epoch(max(logged_at)) AS last FROM log "
            "WHERE model_version = ? AND epoch_us(event_time) >= ? AND epoch_us(event_time) < ?",
            [version, microseconds(window.start), microseconds(window.end)],
        )
        first, last = (float(np.nan_to_num(_floats(found[name])[0])) for name in ("first", "last"))
        return first, last

    def _fetch(self, query: str, parameters: list[Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.connection.execute(query, parameters).fetchnumpy()
        return found


@contextmanager
def open_log(
    spec: ModelSpec,
    folder: Path,
    since: datetime,
    until: datetime,
    *,
    configured: Settings | None = None,
    share: float = 1.0,
    threads: int = 2,
) -> Iterator[PredictionLog]:
    """Read what served clients in the model's log for `since` <= event time < `until`; a folder without a log is an empty one.

    `configured` names the S3 account of files that were shipped (default: the process's settings). `share`: part of the requests,
    chosen by the hash of their ids, that is read. `threads`: DuckDB's; one is cheaper in CPU and memory, two are sooner done.

    Raises:
        SourceUnavailableError: the files kept vanishing while they were read, or S3 did not answer.
    """
    import duckdb

    with duckdb.connect(":memory:", config={"threads": str(threads)}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        try:
            features = feature_types(spec.features.numeric, spec.features.categorical)
            relation = range_relation(connection, folder, features, since, until, remote_of(configured or settings()))
            if share < 1:
                relation = relation.filter(_part_of(share))
            unread = ["assigned_version", "arm", "unit", "label", *(() if spec.objective.classes else ("probabilities",))]
            relation.project(f"* EXCLUDE ({', '.join(unread)})").create("log")
        except (duckdb.Error, OSError) as problem:
            raise SourceUnavailableError(f"prediction log {folder} of {spec.name}: {problem}") from problem
        yield PredictionLog(connection, spec, AccessReader(folder))


def _part_of(share: float) -> str:
    """SQL that is true for a share of the requests, the same ones every time."""
    return f"hash(request_id) < {round(share * 2**64)}"


def _floats(values: Any) -> Floats:
    if not np.ma.isMaskedArray(values):
        return np.asarray(values, dtype=np.float64)
    found: Floats = np.ma.filled(values.astype(np.float64), np.nan)  # DuckDB masks nulls
    return found


def _lists(values: Any, length: int) -> Floats:
    """Lists of `length` numbers (n, length); a row without such a list is NaN."""
    masked = np.ma.asarray(values)
    found = np.full((len(masked), length), np.nan)
    for row, (value, missing) in enumerate(zip(masked.data, np.ma.getmaskarray(masked), strict=True)):
        if not missing and value is not None and len(value) == length:
            found[row] = value
    return found


def _texts(values: Any) -> Objects:
    masked = np.ma.asarray(values)
    found: Objects = np.array(masked.data, dtype=object)
    found[np.ma.getmaskarray(masked)] = None  # `filled(None)` would write "?"
    return found


def _shared(texts: Objects) -> Objects:
    """The same texts, one object for equal ones: DuckDB makes one per row, most of a sample's memory."""
    known: dict[str | None, str | None] = {}
    for row, text in enumerate(texts.tolist()):
        texts[row] = known.setdefault(text, text)
    return texts
