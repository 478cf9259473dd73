"""The prediction log as a table: folder layout, column types, and the DuckDB relation that monitoring and labels join on.

<folder>/segments/<version>-<pid>-<epoch_ms>.jsonl[.open]     written by model servers (prediction_log.py), a line per row
<folder>/parquet/<name>.parquet + <folder>/manifest.json      written by compaction (log_manifest.py); files may lie on S3 instead
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from include.serving.log_manifest import CompactedFile, read_manifest

if TYPE_CHECKING:
    import duckdb
    from pyarrow.fs import FileSystem

SEGMENTS, PARQUET = "segments", "parquet"
CLOSED, OPEN = ".jsonl", ".jsonl.open"

LOG_COLUMNS = {
    "request_id": "VARCHAR",
    "row": "INTEGER",
    "model_version": "INTEGER",
    "assigned_version": "INTEGER",
    "arm": "VARCHAR",
    "unit": "VARCHAR",
    "client": "VARCHAR",
    "logged_at": "TIMESTAMPTZ",
    "key": "VARCHAR",
    "event_time": "TIMESTAMPTZ",
    "prediction": "DOUBLE",
    "latency_ms": "DOUBLE",
}
ARM_HEADER = "x-modelops-arm"
LIVE, SHADOW, BASELINE = "live", "shadow", "baseline"
ARMS = (LIVE, SHADOW, BASELINE)
"""Column `arm`: whom an answer served. `live`: a client; `baseline`: a client, by the fresh server of the champion's version;
`shadow`: nobody, the request was a copy. Lines from before the column existed were live."""
SERVED = (LIVE, BASELINE)
UNIT_HEADER = "x-modelops-unit"
"""The gateway copies the value of an A/B test's sticky header into it; column `unit` keeps its hash (prediction_log.unit_of).
Column `client` names whose API key a request carried, null where none was asked for."""
CLASS_COLUMNS = {"label": "VARCHAR", "probabilities": "DOUBLE[]"}
"""Of multiclass models: `prediction` is the class's number, `label` its name, `probabilities` in the order of the classes."""
_LATER = (*CLASS_COLUMNS, "arm", "unit", "client")  # columns that files of an older version may not have
FEATURES = "features"
PROBE_PREFIX = "serving-check-"
"""Request ids of a rollout's serving check. They are logged like all, but are no traffic: readers leave them out."""
_READ_ATTEMPTS = 5
Remote = Callable[[], "FileSystem"]
"""Opens the S3 account of shipped files, as a pyarrow file system."""


def feature_column(name: str) -> str:
    """Name of a feature's column in `predictions_relation`: prefixed, since a feature may be called `key` or `row`."""
    return f"feature_{name}"


def json_columns(features: dict[str, str]) -> dict[str, str]:
    """The `columns=` schema of DuckDB's `read_json` for a segment with these features (name -> DuckDB type)."""
    if not features:
        return LOG_COLUMNS | CLASS_COLUMNS
    fields = ", ".join(f"{quoted(name)} {kind}" for name, kind in features.items())
    return LOG_COLUMNS | CLASS_COLUMNS | {FEATURES: f"STRUCT({fields})"}


def feature_types(numeric: Sequence[str], categorical: Sequence[str]) -> dict[str, str]:
    """DuckDB type of each feature: DOUBLE for numeric ones, VARCHAR for categorical ones."""
    return {**dict.fromkeys(numeric, "DOUBLE"), **dict.fromkeys(categorical, "VARCHAR")}


def quoted(identifier: str) -> str:
    """An SQL identifier in double quotes."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(value: object) -> str:
    """An SQL literal of a string, a path, a list or a dict of such."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(key)}: {literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return "'" + str(value).replace("'", "''") + "'"


def live_segments(folder: Path, compacted: Sequence[CompactedFile]) -> list[Path]:
    """Closed and open segments that no compacted file contains yet, sorted by name.

    Open ones are listed first: a segment that is renamed in between is then seen twice, which is repaired here, and never missed.
    """
    contained = {name for file in compacted for name in file.segments}
    base = folder / SEGMENTS
    opened = [path for path in base.glob(f"*{OPEN}") if path.name.removesuffix(".open") not in contained]
    closed = [path for path in base.glob(f"*{CLOSED}") if path.name not in contained]
    names = {path.name for path in closed}
    return sorted([*closed, *(path for path in opened if path.name.removesuffix(".open") not in names)])


def read_segments_sql(paths: Sequence[Path], features: dict[str, str]) -> str:
    """A query over JSONL segments: one row per good line, `features` as a struct. Torn lines parse to nulls and are left out."""
    if not paths:
        columns = ", ".join(f"NULL::{kind} AS {quoted(name)}" for name, kind in json_columns(features).items())
        return f"SELECT {columns} WHERE false"
    source = (
        f"read_json({literal([str(path) for path in paths])}, columns={literal(json_columns(features))}, "
        "format='newline_delimited', ignore_errors=true)"
    )
    needed = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in ("request_id", "row", "model_version", "event_time"))
    return f"SELECT * FROM {source} WHERE {needed}"  # noqa: S608 - paths and names are quoted above


def predictions_relation(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    numeric: Sequence[str],
    categorical: Sequence[str],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    arms: Sequence[str] = SERVED,
    remote: Remote | None = None,
) -> duckdb.DuckDBPyRelation:
    """All predictions with `since` <= event_time < `until`, one row per (request_id, row, model_version, arm); the first logged
    wins.

    `arms` (of ARMS): by default what served a client, so no shadow's answers. Golden requests of a serving check, which came past
    the gateway (PROBE_PREFIX, no assigned version), are left out. `remote` is asked when files lie on S3.
    Columns: LOG_COLUMNS, CLASS_COLUMNS, then `feature_column(name)` per feature (DOUBLE or VARCHAR); null where there is none.
    Segments are read now, into a temporary table; compacted files lazily, so that a query reads only the columns that it names.
    Times are TIMESTAMPTZ: fetch them by `.df()` or Arrow (`fetchall` would need pytz). Use it by `.create_view("predictions")` or
    by its Python name in `connection.sql`. Raises duckdb.IOException when files vanish again and again, OSError when S3 does not
    answer, ValueError when files lie on S3 and there is no `remote`.
    """
    bounds = _bounds({"event_time >=": since, "event_time <": until}, arms)
    found = _Files(folder, partial(_overlaps, since=since, until=until), remote)
    return _relation(connection, found, feature_types(numeric, categorical), bounds)


def range_relation(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    features: dict[str, str],
    since: datetime,
    until: datetime,
    remote: Remote | None,
) -> duckdb.DuckDBPyRelation:
    """What served clients, as `predictions_relation`, for who reads all columns of a range. `features`: of `feature_types`.

    Repeated lines are looked for first, by their keys alone: telling wide rows apart costs several times the reading.
    """
    bounds = _bounds({"event_time >=": since, "event_time <": until}, SERVED)
    found = _Files(folder, partial(_overlaps, since=since, until=until), remote)
    return _relation(connection, found, features, bounds, whole=True)


def logged_relation(
    connection: duckdb.DuckDBPyConnection, folder: Path, since: datetime, *, remote: Remote | None = None
) -> duckdb.DuckDBPyRelation:
    """What served a client since a moment of the servers' wall clock, whenever its events were; without features.

    Else as `predictions_relation`: what is older is left out before rows are told apart, so a long log costs little.
    """
    bounds = _bounds({"logged_at >=": since}, SERVED)
    limit = _utc(since)
    return _relation(connection, _Files(folder, lambda file: (file.logged_max or limit) >= limit, remote), {}, bounds)


def _relation(
    connection: duckdb.DuckDBPyConnection, found: _Files, features: dict[str, str], bounds: str, *, whole: bool = False
) -> duckdb.DuckDBPyRelation:
    import duckdb

    for attempt in range(_READ_ATTEMPTS):
        compacted = read_manifest(found.folder)
        segments = read_segments_sql(live_segments(found.folder, compacted), features)
        table = f"log_segments_{uuid4().hex}"
        try:
            flat = _flat(segments, list(features), features, bounds, _LATER)
            connection.execute(f"CREATE TEMP TABLE {table} AS {flat}")
            break
        except duckdb.IOException:  # a segment was rotated or compacted between listing and reading: list again
            if attempt == _READ_ATTEMPTS - 1:
                raise
    within = [file for file in compacted if file.rows and found.wanted(file)]
    parts = [f"SELECT * FROM {table}", *_compacted_parts(connection, found, within, features, bounds)]  # noqa: S608
    key = "request_id, row, model_version, arm"
    everything = f"WITH everything AS ({' UNION ALL '.join(parts)})"
    if whole:
        told = f"SELECT count(*) = count(DISTINCT hash({key})) FROM everything"  # noqa: S608 - constants; a collision costs time
        if connection.execute(f"{everything} {told}").fetchall() == [(True,)]:
            return connection.sql(f"{everything} SELECT * FROM everything")  # noqa: S608 - all parts are quoted
    once = f"SELECT DISTINCT ON ({key}) * FROM everything ORDER BY {key}, logged_at"  # noqa: S608 - constants
    return connection.sql(f"{everything} {once}")


def _bounds(times: dict[str, datetime | None], arms: Sequence[str]) -> str:
    """The condition on times ("column sign" -> limit), traffic and arms."""
    clauses = [f"{compared} TIMESTAMPTZ {literal(_utc(at))}" for compared, at in times.items() if at is not None]
    traffic = f"(assigned_version IS NOT NULL OR NOT starts_with(request_id, {literal(PROBE_PREFIX)}))"
    told = ", ".join(literal(arm) for arm in arms)
    return " AND ".join([*clauses, traffic, f"coalesce(arm, {literal(LIVE)}) IN ({told})"])


def _utc(at: datetime) -> str:
    if at.tzinfo is None:
        raise ValueError(f"{at!r} has no timezone; bounds of the prediction log are timezone-aware")
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _flat(source: str, present: Sequence[str], features: dict[str, str], bounds: str, later: Sequence[str]) -> str:
    """Spread `features` into typed columns; what is not `present` is null, as are columns of _LATER that are not in `later`."""
    columns = [f"coalesce(arm, {literal(LIVE)}) AS arm" if name == "arm" else quoted(name) for name in LOG_COLUMNS]
    columns += [quoted(name) for name in CLASS_COLUMNS]
    kinds = LOG_COLUMNS | CLASS_COLUMNS
    missing = "".join(f", NULL::{kinds[name]} AS {quoted(name)}" for name in _LATER if name not in later)
    for name, kind in features.items():
        value = f"TRY_CAST({FEATURES}.{quoted(name)} AS {kind})" if name in present else f"NULL::{kind}"
        columns.append(f"{value} AS {quoted(feature_column(name))}")
    held = f"SELECT *{missing} FROM ({source})"  # noqa: S608 - all parts are quoted
    return f"SELECT {', '.join(columns)} FROM ({held}) WHERE {bounds}"  # noqa: S608 - all parts are quoted


class _Files(NamedTuple):
    """Which compacted files of one log folder are read."""

    folder: Path
    wanted: Callable[[CompactedFile], bool]
    remote: Remote | None


def _compacted_parts(
    connection: duckdb.DuckDBPyConnection,
    found: _Files,
    within: Sequence[CompactedFile],
    features: dict[str, str],
    bounds: str,
) -> list[str]:
    """One query per place and set of columns that compacted files share."""
    groups: dict[tuple[bool, tuple[str, ...], tuple[tuple[str, str], ...]], list[CompactedFile]] = {}
    for file in within:
        shape = (file.location is not None, tuple(file.columns_later), tuple(sorted(file.features.items())))
        groups.setdefault(shape, []).append(file)
    return [
        _flat(source_of(connection, found.folder, files, found.remote), [name for name, _ in held], features, bounds, later)
        for (_, later, held), files in groups.items()
    ]


def source_of(connection: duckdb.DuckDBPyConnection, folder: Path, files: Sequence[CompactedFile], remote: Remote | None) -> str:
    """A query over compacted files that lie in one kind of place and have the same columns.

    Files on S3 are read by pyarrow, column by column: DuckDB's own S3 reader is an extension that is not part of its package.
    """
    if files[0].location is None:
        return f"FROM read_parquet({literal([str(folder / PARQUET / file.name) for file in files])})"
    if remote is None:
        raise ValueError(f"{folder}: {files[0].name} lies at {files[0].location}; no account was given to read it")
    import pyarrow.dataset

    paths = [f"{file.location}/{PARQUET}/{file.name}".removeprefix("s3://") for file in files]
    view = f"log_remote_{uuid4().hex}"
    connection.register(view, pyarrow.dataset.dataset(paths, filesystem=remote(), format="parquet"))
    return f"FROM {view}"


def _overlaps(file: CompactedFile, since: datetime | None, until: datetime | None) -> bool:
    if file.event_time_min is None or file.event_time_max is None:
        return False
    first, last = datetime.fromisoformat(file.event_time_min), datetime.fromisoformat(file.event_time_max)
    return (since is None or last >= since) and (until is None or first < until)
